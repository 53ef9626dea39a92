"""SAM 2 as a stateless set of operations; whoever calls them keeps the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from sam2_core.nn.closeup import FIRST_RANK, CloseUp
from sam2_core.nn.guide import Guide
from sam2_core.nn.hiera import Hiera
from sam2_core.nn.hints import DrawnHints, PromptHints, first_guess, hint_maps
from sam2_core.nn.layers import MLP, chained_1x1
from sam2_core.nn.mask_decoder import DecodedMasks, MaskDecoder
from sam2_core.nn.memory_attention import MemoryAttention
from sam2_core.nn.memory_encoder import MemoryEncoder
from sam2_core.nn.neck import ImageEncoder, Neck
from sam2_core.nn.positions import at_cells, sine_grid, sine_scalar
from sam2_core.nn.prompt_encoder import (
    PADDING,
    PromptEncoder,
    draw_prompts,
)

if TYPE_CHECKING:
    from sam2_core.config import ModelConfig

NO_OBJECT_LOGIT = -1024.0


@dataclass
class ImageFeatures:
    """What the encoder sees in B images.

    Attributes
    ----------
    embedding : Tensor
        (B, dim, g, g) raw stride-16 features, nothing of memory in them.
    high_res : tuple of Tensor
        Stride 4 (B, dim / 8, 4g, 4g) and stride 8 (B, dim / 4, 2g, 2g) features.
    guide : Tensor, optional
        (B, GUIDE_CHANNELS, 4g, 4g) clues about objects, where the model has a guide.
    cells : Tensor, optional
        (B, g, g) int64, which cells of the frame's grid these are, counted row by row,
        where they are parts of it.
    """

    embedding: Tensor
    high_res: tuple[Tensor, Tensor]
    guide: Tensor | None = None
    cells: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        tensors = [self.embedding, *self.high_res]
        if self.guide is not None:
            tensors.append(self.guide)
        return sum(tensor.nbytes for tensor in tensors)

    def __getitem__(self, index: int) -> ImageFeatures:
        """The features of one image, batch axis kept."""
        rows = slice(index, index + 1)
        return ImageFeatures(
            self.embedding[rows],
            (self.high_res[0][rows], self.high_res[1][rows]),
            None if self.guide is None else self.guide[rows],
            None if self.cells is None else self.cells[rows],
        )


class Sam2(nn.Module):
    """The whole network; see :class:`sam2_core.config.ModelConfig` for its numbers."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.hidden_dim
        self.image_encoder = ImageEncoder(Hiera(config.trunk), Neck(config.trunk, dim))
        self.sam_prompt_encoder = PromptEncoder(
            dim, config.image_size, config.grid_size
        )
        self.sam_mask_decoder = MaskDecoder(
            dim, config.decoder_heads, config.decoder_ffn
        )
        self.guide = Guide(dim) if config.guided else None
        self.prompt_hints = PromptHints(dim) if config.guided else None
        self.closeup = CloseUp(first_rank=FIRST_RANK) if config.closeups else None
        self.no_mem_embed = nn.Parameter(torch.zeros(1, 1, dim))
        if not config.closeups:  # which follow objects by themselves
            self._add_memories()

    def _add_memories(self) -> None:
        config = self.config
        dim, memory_dim = config.hidden_dim, config.memory_dim
        self.memory_attention = MemoryAttention(
            dim, memory_dim, config.memory_attention_ffn, config.memory_attention_layers
        )
        self.memory_encoder = MemoryEncoder(dim, memory_dim)
        self.obj_ptr_proj = MLP(dim, dim, dim, 3)
        self.mask_downsample = nn.Conv2d(1, 1, kernel_size=4, stride=4)
        self.maskmem_tpos_enc = nn.Parameter(
            torch.zeros(config.num_maskmem, 1, 1, memory_dim)
        )
        # Part of every official file, read by no configuration in use.
        self.no_mem_pos_enc = nn.Parameter(torch.zeros(1, 1, dim))
        self.no_obj_ptr = nn.Parameter(torch.zeros(1, dim))
        if config.is_v21:
            self.no_obj_embed_spatial = nn.Parameter(torch.zeros(1, memory_dim))
            self.obj_ptr_tpos_proj = nn.Linear(dim, memory_dim)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.no_mem_embed.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the weights."""
        return self.no_mem_embed.dtype

    # ------------------------------------------------------------------ one image

    def encode_image(
        self, pixels: Tensor, positions: Tensor | None = None
    ) -> ImageFeatures:
        """Features of normalised images.

        Parameters
        ----------
        pixels : Tensor
            (B, 3, S, S), normalised, any float dtype.
        positions : Tensor, optional
            Position embedding for the trunk; its own by default.
        """
        trunk = cast("Hiera", self.image_encoder.trunk)
        neck = self.image_encoder.neck
        pixels = pixels.to(self.dtype)
        stages = trunk(pixels, positions)
        embedding = neck.embedding(stages)
        guide = None
        if self.guide is not None:
            guide, addition = self.guide(pixels)
            embedding = embedding + addition
        decoder = self.sam_mask_decoder
        return ImageFeatures(
            embedding=embedding,
            high_res=(
                chained_1x1(stages[0], neck.lateral(0), decoder.conv_s0),
                chained_1x1(stages[1], neck.lateral(1), decoder.conv_s1),
            ),
            guide=guide,
        )

    def without_memory(self, features: ImageFeatures) -> Tensor:
        """Embedding of a frame that has nothing to remember, (B, dim, g, g)."""
        return features.embedding + self.no_mem_embed.reshape(1, -1, 1, 1)

    def decode_masks(
        self,
        embedding: Tensor,
        high_res: tuple[Tensor, Tensor],
        point_xy: Tensor | None = None,
        labels: Tensor | None = None,
        mask_logits: Tensor | None = None,
        num_prompts: int = 1,
        embedding_pe: Tensor | None = None,
        window_xy: Tensor | None = None,
        guide: Tensor | None = None,
    ) -> DecodedMasks:
        """All four masks for N prompts.

        Parameters
        ----------
        embedding, high_res
            Image embedding with or without memory, and the fine features; one image
            for all prompts (batch 1) or one per prompt (batch N).
        point_xy : Tensor, optional
            (N, P, 2) float xy in pixels of the model input; box corners are points too.
        labels : Tensor, optional
            (N, P) int: -1 padding, 0 negative, 1 positive, 2 and 3 box corners.
        mask_logits : Tensor, optional
            (N, 1, 4g, 4g) earlier logits or a mask as logits.
        num_prompts : int
            N where neither points nor masks are given.
        embedding_pe : Tensor, optional
            (1 or N, dim, g, g) position code of the grid; the frame's by default.
        window_xy : Tensor, optional
            (N, 1, 2) corner of the embedding in the model input, where it is a window.
        guide : Tensor, optional
            The features' guide; read only by models that draw their prompts.
        """
        encoder = self.sam_prompt_encoder
        dtype = self.dtype
        maps = None
        if point_xy is not None:
            assert labels is not None
            sparse = encoder.points(point_xy.float(), labels).to(dtype)
            if guide is not None:
                local_xy = point_xy if window_xy is None else point_xy - window_xy
                mask_logits, maps = _drawn(local_xy, labels, mask_logits, guide)
        else:
            n = num_prompts if mask_logits is None else mask_logits.shape[0]
            sparse = embedding.new_zeros(n, 0, self.config.hidden_dim, dtype=dtype)
        if mask_logits is None:
            dense = encoder.no_mask()
        else:
            dense = encoder.masks(mask_logits.to(dtype))
        hints = None
        if maps is not None:
            assert guide is not None
            assert self.prompt_hints is not None
            dense = dense + self.prompt_hints.dense(maps.to(dtype))
            hints = DrawnHints(self.prompt_hints, maps, guide)
        if embedding_pe is None:
            embedding_pe = encoder.dense_positions()
        return cast(
            "DecodedMasks",
            self.sam_mask_decoder(
                embedding, embedding_pe.to(dtype), high_res, sparse, dense, hints
            ),
        )

    # ------------------------------------------------------------------ over time

    def empty_points(self, n: int) -> tuple[Tensor, Tensor]:
        """The "no click on this frame" prompt of n objects: points and labels."""
        points = torch.zeros(n, 1, 2, device=self.device)
        labels = torch.full((n, 1), PADDING, dtype=torch.int32, device=self.device)
        return points, labels

    def object_pointer(self, token: Tensor, present: Tensor) -> Tensor:
        """Pointer of each object: (N, dim) mask token, (N, 1) bool -> (N, dim)."""
        return self.absent_pointer(self.obj_ptr_proj(token), present)

    def absent_pointer(self, pointer: Tensor, present: Tensor) -> Tensor:
        """``pointer`` (N, dim) where present (N, 1), else the learned "not there"."""
        return torch.where(present, pointer, self.no_obj_ptr)

    def encode_memory(self, embedding: Tensor, mask: Tensor, present: Tensor) -> Tensor:
        """Spatial memory of N objects on one frame.

        Parameters
        ----------
        embedding : Tensor
            (1 or N, dim, g, g) raw image embedding.
        mask : Tensor
            (N, 1, S, S) mask after sigmoid or binarising, scaled and shifted.
        present : Tensor
            (N, 1) bool, whether the object is in the frame.

        Returns
        -------
        Tensor
            (N, memory_dim, g, g).
        """
        memory = self.memory_encoder(embedding, mask.to(self.dtype))
        if self.config.is_v21:
            absent = (~present).to(memory.dtype)
            memory = memory + (absent * self.no_obj_embed_spatial)[:, :, None, None]
        return cast("Tensor", memory)

    def memory_positions(self) -> Tensor:
        """Position code of a spatial memory, (1, g * g, memory_dim)."""
        grid = self.config.grid_size
        sine = sine_grid(self.config.memory_dim, grid, grid, self.device)
        return sine.flatten(2).transpose(1, 2).to(self.dtype)

    def temporal_code(self, index: int) -> Tensor:
        """Learned code of a memory's age: 0 for the last frame, the last for prompts.

        Returns
        -------
        Tensor
            (1, 1, memory_dim).
        """
        return self.maskmem_tpos_enc[index]

    def pointer_positions(self, distance: Tensor) -> Tensor:
        """Position code of object pointers.

        Parameters
        ----------
        distance : Tensor
            (P,) float distance in frames, divided by the longest one considered.

        Returns
        -------
        Tensor
            (P, memory_dim); zeros in SAM 2.0, which knows no age of pointers.
        """
        if not self.config.is_v21:
            return torch.zeros(
                len(distance),
                self.config.memory_dim,
                device=self.device,
                dtype=self.dtype,
            )
        code = sine_scalar(distance.float(), self.config.hidden_dim)
        return cast("Tensor", self.obj_ptr_tpos_proj(code.to(self.dtype)))

    def attend_to_memory(
        self,
        embedding: Tensor,
        memory: Tensor,
        memory_pe: Tensor,
        num_pointer_tokens: int = 0,
        embedding_pe: Tensor | None = None,
        cells: Tensor | None = None,
        memory_cells: Tensor | None = None,
    ) -> Tensor:
        """Embedding of a frame, conditioned on N objects' memories.

        Parameters
        ----------
        embedding : Tensor
            (1 or N, dim, g, g) raw embedding of the frame, or of a window of it.
        memory, memory_pe : Tensor
            (N, L, memory_dim): spatial memories grid after grid, then pointer tokens.
        num_pointer_tokens : int
            How many of the L are pointer tokens.
        embedding_pe : Tensor, optional
            (1, dim, g, g) position code of the frame; the full frame's sine by default.
        cells : Tensor, optional
            (N, g, g) cells of the frame's grid that the embedding holds, if not all.
        memory_cells : Tensor, optional
            (N, L without pointer tokens) cells that the spatial memories hold, if these
            are not whole grids.

        Returns
        -------
        Tensor
            (N, dim, g, g).
        """
        height, width = embedding.shape[-2:]
        grid_hw = (height, width)
        if cells is not None or memory_cells is not None:
            grid_hw = (self.config.grid_size, self.config.grid_size)
        if embedding_pe is None:
            embedding_pe = sine_grid(embedding.shape[1], *grid_hw, self.device)
            if cells is not None:
                embedding_pe = at_cells(embedding_pe, cells)
        tokens = self.memory_attention(
            embedding.flatten(2).transpose(1, 2),
            embedding_pe.to(self.dtype).flatten(2).transpose(1, 2),
            memory.to(self.dtype),
            memory_pe.to(self.dtype),
            grid_hw,
            num_pointer_tokens,
            None if cells is None else cells.flatten(1),
            memory_cells,
        )
        return cast("Tensor", tokens.transpose(1, 2).unflatten(2, (height, width)))


def _drawn(
    point_xy: Tensor, labels: Tensor, mask_logits: Tensor | None, guide: Tensor
) -> tuple[Tensor | None, Tensor]:
    """The mask prompt with points and boxes drawn into it, and the hint maps."""
    if not bool((labels >= 0).any()):
        # Frames without a prompt carry padding only; those of a first look stay
        # without a mask.
        shape = (len(labels), 1, *guide.shape[-2:])
        blank = torch.zeros(shape, device=guide.device)
        drawn = blank if mask_logits is None else mask_logits.to(blank.dtype)
        return mask_logits, hint_maps(guide, point_xy, labels, drawn, blank)
    spread = first_guess(point_xy, labels, guide)
    if mask_logits is None:
        mask_logits = spread
    drawn = draw_prompts(point_xy, labels, mask_logits.to(spread.dtype))
    return drawn, hint_maps(guide, point_xy, labels, drawn, spread)
