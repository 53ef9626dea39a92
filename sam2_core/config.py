"""Every number that tells one SAM 2 from another: eight official ones and ours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrunkConfig:
    """Hiera trunk; one entry per stage (strides 4, 8, 16, 32).

    Attributes
    ----------
    embed_dim, num_heads : int
        Width and attention heads of the first stage; both double at every stage.
    stages : tuple of int
        Blocks per stage.
    global_attention_blocks : tuple of int
        Indices (over all blocks) that attend over the whole grid instead of windows.
    window_sizes : tuple of int
        Window side per stage, in tokens of that stage.
    background_size : tuple of int
        Grid (height, width) of the learned background position embedding.
    """

    embed_dim: int
    num_heads: int
    stages: tuple[int, ...]
    global_attention_blocks: tuple[int, ...]
    window_sizes: tuple[int, ...]
    background_size: tuple[int, int]

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each stage, finest first."""
        return tuple(self.embed_dim * 2**i for i in range(len(self.stages)))


@dataclass(frozen=True)
class ModelConfig:
    """A complete SAM 2 network.

    ``version`` is "2.0" or "2.1"; 2.1 adds the embedding of absent objects and the
    temporal position of object pointers. ``image_size`` is the side, in pixels, of the
    square every image is resized to. The fields that are not widths steer prompts and
    tracking and may be changed on a loaded model with :func:`dataclasses.replace`.
    """

    name: str
    version: str
    trunk: TrunkConfig
    image_size: int = 1024
    hidden_dim: int = 256
    memory_dim: int = 64
    memory_attention_layers: int = 4
    memory_attention_ffn: int = 2048
    decoder_heads: int = 8
    decoder_ffn: int = 2048
    num_maskmem: int = 7
    # Whether a small convolutional network looks at the image beside the trunk, and
    # prompts (on tracked frames the mask of the frame before) are compared with what it
    # found and drawn into the mask prompt. The official models know nothing of it.
    guided: bool = False
    # Whether a further network draws the final mask of each object in a window of the
    # object's own scale, and follows it there from frame to frame.
    closeups: bool = False
    # How the network is used over time (none of these changes a weight).
    tracked_memories: int = -1  # see memories_read
    max_object_pointers: int = 16
    max_conditioning_frames: int = -1
    memory_temporal_stride: int = 1
    non_overlap_masks: bool = False
    non_overlap_masks_for_memory: bool = False
    all_corrections_condition: bool = False
    binarize_prompted_masks_for_memory: bool = True
    fill_hole_area: int = 8
    sigmoid_scale: float = 20.0
    sigmoid_bias: float = -10.0
    multimask_max_points: int = 1
    stability_delta: float = 0.05
    stability_threshold: float = 0.98

    @property
    def is_v21(self) -> bool:
        """Whether this is SAM 2.1 (three more tensors than 2.0)."""
        return self.version == "2.1"

    @property
    def memories_read(self) -> int:
        """How many tracked frames are read again, beside the prompted ones.

        As many as the network has codes for, if ``tracked_memories`` is -1.
        """
        trained = self.num_maskmem - 1
        return trained if self.tracked_memories == -1 else self.tracked_memories

    @property
    def stride(self) -> int:
        """Input pixels per token of the image embedding."""
        return 16

    @property
    def grid_size(self) -> int:
        """Side of the image embedding, in tokens."""
        return self.image_size // self.stride

    @property
    def low_res_size(self) -> int:
        """Side of the mask logits the decoder draws, in pixels."""
        return self.grid_size * 4


_TRUNKS = {
    "tiny": TrunkConfig(96, 1, (1, 2, 7, 2), (5, 7, 9), (8, 4, 14, 7), (7, 7)),
    "small": TrunkConfig(96, 1, (1, 2, 11, 2), (7, 10, 13), (8, 4, 14, 7), (7, 7)),
    "base_plus": TrunkConfig(
        112, 2, (2, 3, 16, 3), (12, 16, 20), (8, 4, 14, 7), (14, 14)
    ),
    "large": TrunkConfig(144, 2, (2, 6, 36, 4), (23, 33, 43), (8, 4, 16, 8), (7, 7)),
}

NANO = ModelConfig(
    name="sam2_nano",
    version="2.1",
    trunk=TrunkConfig(32, 1, (1, 2, 4, 1), (4, 5, 6, 7), (8, 16, 16, 16), (8, 8)),
    image_size=512,
    hidden_dim=128,
    memory_dim=32,
    memory_attention_layers=2,
    memory_attention_ffn=512,
    decoder_heads=4,
    decoder_ffn=512,
    guided=True,
    closeups=True,
    # Trained on clips of five frames: older memories would be ages it never saw.
    num_maskmem=4,
    max_object_pointers=8,
    # Cells do not overlap, and small holes in them are mistakes more often than not.
    non_overlap_masks=True,
    fill_hole_area=40,
)


def _official(version: str, prefix: str) -> dict[str, ModelConfig]:
    return {
        f"{prefix}_hiera_{size}": ModelConfig(f"{prefix}_hiera_{size}", version, trunk)
        for size, trunk in _TRUNKS.items()
    }


VARIANTS: dict[str, ModelConfig] = {
    NANO.name: NANO,
    **_official("2.1", "sam2.1"),
    **_official("2.0", "sam2"),
}


def list_models() -> list[str]:
    """Names accepted by :func:`sam2_core.load_model`, bundled model first."""
    return list(VARIANTS)
