"""SAM 2 of the package transformers, behind the calls of `opponents.py`.

    python benchmarks/transformers_opponent.py [--model sam2.1_hiera_tiny]

as a command compares its results with ours in float32 before any speed is measured:
the features of an image, a click, and one object followed over a few frames.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torchvision_stub import make_importable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sam2_core.config import ModelConfig

# Names of weights, ours (Meta's) to those of transformers; applied in this order.
RENAMED = (
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"^no_mem_pos_enc$", "no_memory_positional_encoding"),
    (r"^maskmem_tpos_enc$", "memory_temporal_positional_encoding"),
    (r"^no_obj_ptr$", "no_object_pointer"),
    (r"^no_obj_embed_spatial$", "occlusion_spatial_embedding_parameter"),
    (r"^obj_ptr_tpos_proj", "temporal_positional_encoding_projection_layer"),
    (r"^obj_ptr_proj", "object_pointer_proj"),
    (r"^image_encoder\.trunk", "vision_encoder.backbone"),
    (r"^image_encoder\.neck\.convs\.(\d)\.conv", r"vision_encoder.neck.convs.\1"),
    (r"patch_embed\.proj", "patch_embed.projection"),
    (r"^sam_prompt_encoder", "prompt_encoder"),
    (r"mask_downscaling\.0", "mask_embed.conv1"),
    (r"mask_downscaling\.1", "mask_embed.layer_norm1"),
    (r"mask_downscaling\.3", "mask_embed.conv2"),
    (r"mask_downscaling\.4", "mask_embed.layer_norm2"),
    (r"mask_downscaling\.6", "mask_embed.conv3"),
    (r"pe_layer\.positional_encoding_gaussian_matrix", "shared_embedding."),
    (r"shared_embedding\.$", "shared_embedding.positional_embedding"),
    (r"^sam_mask_decoder", "mask_decoder"),
    (r"output_upscaling\.0", "upscale_conv1"),
    (r"output_upscaling\.1", "upscale_layer_norm"),
    (r"output_upscaling\.3", "upscale_conv2"),
    (r"norm_final_attn", "layer_norm_final_attn"),
    (r"^memory_encoder\.pix_feat_proj", "memory_encoder.feature_projection"),
    (r"^memory_encoder\.out_proj", "memory_encoder.projection"),
    (r"^memory_encoder\.fuser", "memory_encoder.memory_fuser"),
    (r"fuser\.layers\.(\d)\.gamma", r"fuser.layers.\1.scale"),
    (r"\.dwconv", ".depthwise_conv"),
    (r"\.pwconv", ".pointwise_conv"),
    (r"mask_downsampler\.encoder\.12", "mask_downsampler.final_conv"),
    (r"^memory_attention\.norm", "memory_attention.layer_norm"),
    (r"\.norm(\d?)\.", r".layer_norm\1."),
    (r"\.out_proj", ".o_proj"),
)
# Perceptrons of three layers; all others have two.
THREE = r"(hypernetworks_mlps\.\d|iou_prediction_head|score_head|object_pointer_proj)"
TWO = r"((?:blocks|transformer\.layers)\.\d+\.mlp)"
RENAMED += (
    (THREE + r"\.layers\.0", r"\1.proj_in"),
    (THREE + r"\.layers\.1", r"\1.layers.0"),
    (THREE + r"\.layers\.2", r"\1.proj_out"),
    (TWO + r"\.layers\.0", r"\1.proj_in"),
    (TWO + r"\.layers\.1", r"\1.proj_out"),
)


def renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the names of transformers."""
    found: dict[str, Tensor] = {}
    points: dict[str, Tensor] = {}
    for key, tensor in weights.items():
        if match := re.match(r"sam_prompt_encoder\.point_embeddings\.(\d)", key):
            points[match[1]] = tensor
            continue
        if match := re.search(r"mask_downsampler\.encoder\.(\d+)\.(.+)", key):
            layer, part = divmod(int(match[1]), 3)
            if layer < 4:
                kind = ("conv", "layer_norm")[part]
                start = f"memory_encoder.mask_downsampler.layers.{layer}"
                found[f"{start}.{kind}.{match[2]}"] = tensor
                continue
        for pattern, replacement in RENAMED:
            key = re.sub(pattern, replacement, key)
        found[key] = tensor
    found["prompt_encoder.point_embed.weight"] = torch.cat(
        [points[number] for number in sorted(points)]
    )
    place = "shared_embedding.positional_embedding"
    found["shared_image_embedding.positional_embedding"] = found[
        f"prompt_encoder.{place}"
    ].clone()
    return found


def vision(config: ModelConfig) -> dict[str, Any]:
    """The numbers of the trunk in the words of transformers."""
    trunk = config.trunk
    return {
        "backbone_config": {
            "model_type": "sam2_hiera_det_model",
            "hidden_size": trunk.embed_dim,
            "num_attention_heads": trunk.num_heads,
            "blocks_per_stage": list(trunk.stages),
            "embed_dim_per_stage": list(trunk.widths),
            "num_attention_heads_per_stage": [
                trunk.num_heads * 2**i for i in range(len(trunk.stages))
            ],
            "window_size_per_stage": list(trunk.window_sizes),
            "global_attention_blocks": list(trunk.global_attention_blocks),
            "window_positional_embedding_background_size": list(trunk.background_size),
        },
        "backbone_channel_list": list(reversed(trunk.widths)),
    }


class Transformers:
    """The package transformers, weights cast to the precision as its pages advise."""

    def __init__(self, name: str, dtype: str) -> None:
        make_importable()
        from opponents import model
        from transformers import (
            Sam2Config,
            Sam2ImageProcessor,
            Sam2Model,
            Sam2Processor,
            Sam2VideoConfig,
            Sam2VideoModel,
            Sam2VideoProcessor,
            Sam2VideoVideoProcessor,
        )

        self.name = f"transformers {dtype}"
        self.dtype = getattr(torch, dtype)
        ours = model(name, "float32")
        weights = renamed(ours.state_dict())
        self.image = Sam2Model(Sam2Config(vision_config=vision(ours.config)))
        self.video = Sam2VideoModel(Sam2VideoConfig(vision_config=vision(ours.config)))
        self.video.load_state_dict(weights)
        self.image.load_state_dict(
            {key: weights[key] for key in self.image.state_dict()}
        )
        for network in (self.image, self.video):
            network.eval().requires_grad_(False).to(self.dtype)
        pictures = Sam2ImageProcessor()
        self.processor = Sam2Processor(pictures)
        self.video_processor = Sam2VideoProcessor(pictures, Sam2VideoVideoProcessor())

    @torch.inference_mode()
    def encode(self, image: np.ndarray) -> None:
        inputs = self.processor(images=image, return_tensors="pt")
        self.sizes = inputs["original_sizes"]
        self.embeddings = self.image.get_image_embeddings(
            inputs["pixel_values"].to(self.dtype)
        )

    @torch.inference_mode()
    def ask(self, multimask: bool, **prompts: Any) -> list[Tensor]:
        """Masks at the size of the image, and their scores."""
        inputs = self.processor(
            original_sizes=self.sizes, return_tensors="pt", **prompts
        )
        inputs.pop("original_sizes")
        found = self.image(
            image_embeddings=self.embeddings, multimask_output=multimask, **inputs
        )
        self.logits = found.pred_masks.float()
        return self.processor.post_process_masks(self.logits, self.sizes)

    def click(self, xy: tuple[float, float]) -> None:
        self.ask(True, input_points=[[[list(xy)]]], input_labels=[[[1]]])

    def boxes(self, boxes: np.ndarray) -> None:
        self.ask(False, input_boxes=[boxes.tolist()])

    def stored(self, frame: np.ndarray, length: int) -> np.ndarray:
        """Frames in memory, as the package takes them."""
        return np.broadcast_to(frame, (length, *frame.shape))

    @torch.inference_mode()
    def first_mask(
        self, stored: np.ndarray, xy: tuple[float, float], follow: int = 0
    ) -> None:
        session = self.opened(stored, [xy])
        self.video(session, frame_idx=0)
        for frame_index in range(1, follow + 1):
            self.video(session, frame_idx=frame_index)

    def opened(self, frames: np.ndarray, clicks: list[tuple[float, float]]) -> Any:
        session = self.video_processor.init_video_session(
            video=np.repeat(frames[..., None], 3, 3), dtype=self.dtype
        )
        self.video_processor.add_inputs_to_inference_session(
            inference_session=session,
            frame_idx=0,
            obj_ids=list(range(1, len(clicks) + 1)),
            input_points=[[[list(xy)] for xy in clicks]],
            input_labels=[[[1] for _ in clicks]],
        )
        return session

    @torch.inference_mode()
    def steps(self, session: Any, length: int) -> Iterator[Tensor]:
        """(N, 1, 256, 256) logits of each frame in turn."""
        for frame_index in range(length):
            yield self.video(session, frame_idx=frame_index).pred_masks.float()

    def propagate(
        self, frames: np.ndarray, clicks: list[tuple[float, float]]
    ) -> Iterator[int]:
        labels = np.zeros(frames.shape, np.uint16)
        size = [list(frames.shape[1:])]
        steps = self.steps(self.opened(frames, clicks), len(frames))
        for t, logits in enumerate(steps):
            masks = self.video_processor.post_process_masks(
                [logits], original_sizes=size
            )[0]
            for i, mask in enumerate(masks[:, 0].numpy(), start=1):
                labels[t][mask] = i
            yield t


def main() -> None:
    from harness import centres, options, stack
    from opponents import Ours

    from sam2_core.transforms import frame_to_input, image_to_input
    from sam2_core.video import VideoSession

    chosen = options(__doc__, frames={"type": int, "default": 3})
    frames, cpu = stack(chosen.frames), torch.device("cpu")
    image = np.repeat(frames[0][..., None], 3, 2)
    y, x = centres()[40]
    ours = Ours(chosen.model, "float32")
    other = Transformers(chosen.model, "float32")
    ours.encode(image)
    with torch.inference_mode():
        features = ours.predictor._features
        mine = (ours.model.without_memory(features), *features.high_res[::-1])
        # The same pixels: the package resizes pictures in another way.
        pixels = image_to_input(image, 1024, cpu)
        other.sizes = torch.tensor([image.shape[:2]])
        other.embeddings = other.image.get_image_embeddings(pixels)
    for what, one, two in zip(
        ("embedding", "stride 8", "stride 4"), mine, other.embeddings[::-1], strict=True
    ):
        spread = float(one.std())
        print(
            f"{what}: differs by {float((one - two).abs().max()):.2g} of {spread:.2g}"
        )
    other.click((x, y))
    logits = ours.predictor.predict([(x, y)], [1]).logits
    difference = np.abs(logits - other.logits[0, 0].numpy()).max()
    print(f"click: logits differ by {difference:.2g} of {logits.std():.2g}")
    # Random weights may say that nothing is there, and then all masks are alike.
    ours.model.sam_mask_decoder.pred_obj_score_head.layers[2].bias.fill_(5)
    other.video.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(5)
    # The package fills no holes.
    ours.model.config = replace(ours.model.config, fill_hole_area=0)
    session = VideoSession(ours.model, frames)
    session.add_prompts(0, 1, point_coords=[(x, y)])
    results = session.propagate(direction="forward")
    others = other.opened(frames, [(x, y)])
    others.processed_frames = {
        t: frame_to_input(session.frames.frame(t), 1024, cpu)[0]
        for t in range(len(frames))
    }
    steps = other.steps(others, len(frames))
    for result, found in zip(results, steps, strict=True):
        bank = session._objects[1].bank
        one = bank.logits(result.frame_index, cpu)[0, 0]
        difference = float((one - found[0, 0]).abs().max())
        print(
            f"frame {result.frame_index}: logits differ by {difference:.2g} of "
            f"{float(one.std()):.2g} around {float(one.mean()):.2g}",
            flush=True,
        )


if __name__ == "__main__":
    main()
