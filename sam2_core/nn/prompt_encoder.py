"""Points, boxes and mask logits become tokens."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from sam2_core.nn.layers import LayerNorm2d
from sam2_core.nn.positions import RandomFourierPositions

PADDING, NEGATIVE, POSITIVE, BOX_TOP_LEFT, BOX_BOTTOM_RIGHT = -1, 0, 1, 2, 3

DRAWN_STRIDE = 4  # input pixels per cell of the mask prompt
DRAWN_RADIUS = 1.5  # of a click, in cells
DRAWN_LOGIT = 16.0


def draw_prompts(point_xy: Tensor, labels: Tensor, canvas: Tensor) -> Tensor:
    """Draw clicks as small discs, and the outside of boxes, into mask logits.

    Parameters
    ----------
    point_xy : Tensor
        (N, P, 2) float, x then y, in input pixels from the corner of the canvas.
    labels : Tensor
        (N, P) int: -1 padding, 0 negative, 1 positive, 2 and 3 box corners.
    canvas : Tensor
        (N, 1, h, w) logits at stride 4 to draw on: earlier ones, or zeros.

    Returns
    -------
    Tensor
        (N, 1, h, w).
    """
    height, width = canvas.shape[-2:]
    y = torch.arange(height, device=canvas.device)[:, None]
    x = torch.arange(width, device=canvas.device)[None, :]
    cells = (point_xy + 0.5) / DRAWN_STRIDE - 0.5
    at_x, at_y = (cells[..., i, None, None] for i in (0, 1))  # (N, P, 1, 1)
    kind = labels[..., None, None]
    outside = ((kind == BOX_TOP_LEFT) & ((x < at_x - 0.5) | (y < at_y - 0.5))) | (
        (kind == BOX_BOTTOM_RIGHT) & ((x > at_x + 0.5) | (y > at_y + 0.5))
    )
    disc = (x - at_x).square() + (y - at_y).square() <= DRAWN_RADIUS**2
    drawn = canvas.masked_fill(outside.any(1, keepdim=True), -DRAWN_LOGIT)
    negative = (disc & (kind == NEGATIVE)).any(1, keepdim=True)
    positive = (disc & (kind == POSITIVE)).any(1, keepdim=True)
    return drawn.masked_fill(negative, -DRAWN_LOGIT).masked_fill(positive, DRAWN_LOGIT)


class PromptEncoder(nn.Module):
    """Embeds sparse prompts (points, box corners) and dense ones (mask logits)."""

    def __init__(self, dim: int, image_size: int, grid_size: int) -> None:
        super().__init__()
        self.image_size = image_size
        self.grid_size = grid_size
        self.pe_layer = RandomFourierPositions(dim)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, dim) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, dim)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, 4, kernel_size=2, stride=2),
            LayerNorm2d(4),
            nn.GELU(),
            nn.Conv2d(4, 16, kernel_size=2, stride=2),
            LayerNorm2d(16),
            nn.GELU(),
            nn.Conv2d(16, dim, kernel_size=1),
        )
        self.no_mask_embed = nn.Embedding(1, dim)

    def dense_positions(self) -> Tensor:
        """Position code of the image grid, (1, dim, grid, grid)."""
        return self.pe_layer.grid(self.grid_size, self.grid_size)

    def points(self, point_xy: Tensor, labels: Tensor) -> Tensor:
        """Tokens of points; one padding token is always appended.

        Parameters
        ----------
        point_xy : Tensor
            (N, P, 2) float, x then y, in pixels of the model input.
        labels : Tensor
            (N, P) int: -1 padding, 0 negative, 1 positive, 2 and 3 box corners.

        Returns
        -------
        Tensor
            (N, P + 1, dim).
        """
        n = point_xy.shape[0]
        point_xy = torch.cat((point_xy + 0.5, point_xy.new_zeros(n, 1, 2)), dim=1)
        labels = torch.cat((labels, labels.new_full((n, 1), PADDING)), dim=1)
        tokens = self.pe_layer(point_xy / self.image_size)
        labels = labels[..., None]
        tokens = torch.where(
            labels == PADDING, self.not_a_point_embed.weight.to(tokens.dtype), tokens
        )
        for value, embedding in enumerate(self.point_embeddings):
            weight = cast("Tensor", embedding.weight)
            tokens = torch.where(labels == value, tokens + weight, tokens)
        return tokens

    def masks(self, logits: Tensor) -> Tensor:
        """Dense embedding of mask logits: (N, 1, 4g, 4g) -> (N, dim, g, g)."""
        return cast("Tensor", self.mask_downscaling(logits))

    def no_mask(self) -> Tensor:
        """Dense embedding that says no mask was given, (1, dim, 1, 1)."""
        return self.no_mask_embed.weight[:, :, None, None]
