"""A small convolutional network that sees which pixels belong together.

The bundled model is too small, and saw too little, to find the outline of a cell from
stride-16 tokens. The guide finds foreground, outlines and centres once per image, at
stride 4; :mod:`sam2_core.nn.hints` turns them into a first guess for each prompt.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (48, 64, 128, 160)  # channels at strides 4, 8, 16, 32
STEM = 16
TRAITS = 8  # channels whose likeness says "same object"
FEATURES = 32
CENTRE_UNIT = 32.0  # input pixels per unit of the offset to the centre

FOREGROUND, OUTLINE = 0, 1
OFFSET = slice(2, 4)  # to the object's centre, y then x
TRAIT = slice(4, 4 + TRAITS)
DENSE_CHANNELS = 4
HEAD_CHANNELS = DENSE_CHANNELS + TRAITS
GUIDE_CHANNELS = HEAD_CHANNELS + FEATURES


class ConvPair(nn.Module):
    """Two normalised 3 x 3 convolutions with a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(8, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(8, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) of the same shape."""
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(x + self.norm2(self.conv2(y)))


class Guide(nn.Module):
    """U-shaped network from the image to per-pixel clues about objects.

    Parameters
    ----------
    dim : int
        Width of the image embedding it adds to.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STEM, 5, stride=2, padding=2)
        before = (STEM, *WIDTHS[:-1])
        self.shrink = nn.ModuleList(
            nn.Conv2d(a, b, 2, stride=2) for a, b in zip(before, WIDTHS, strict=True)
        )
        self.down = nn.ModuleList(ConvPair(width) for width in WIDTHS)
        self.lift = nn.ModuleList(
            nn.Conv2d(coarse, fine, 1) for fine, coarse in pairwise(WIDTHS)
        )
        self.up = nn.ModuleList(ConvPair(width) for width in WIDTHS[:-1])
        self.features = nn.Conv2d(WIDTHS[0], FEATURES, 3, padding=1)
        self.head = nn.Conv2d(FEATURES, HEAD_CHANNELS, 1)
        self.to_embedding = nn.Conv2d(WIDTHS[2], dim, 1)
        for parameter in self.to_embedding.parameters():
            nn.init.zeros_(parameter)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Clues at stride 4 and what to add to the image embedding.

        Parameters
        ----------
        pixels : Tensor
            (B, 3, S, S), normalised.

        Returns
        -------
        tuple of Tensor
            (B, GUIDE_CHANNELS, S / 4, S / 4): logits of foreground and outline, offset
            to the centre (y, x in units of 32 pixels), traits, features; and
            (B, dim, S / 16, S / 16).
        """
        # Convolutions on a CPU are 1.3 times faster so; the result is the same.
        x = F.relu(self.stem(pixels.contiguous(memory_format=torch.channels_last)))
        levels = []
        for shrink, down in zip(self.shrink, self.down, strict=True):
            x = down(shrink(x))
            levels.append(x)
        coarse = x
        for level in (2, 1, 0):
            lifted = F.interpolate(
                self.lift[level](x), scale_factor=2.0, mode="nearest"
            )
            x = self.up[level](levels[level] + lifted)
            if level == 2:
                coarse = x
        features = F.relu(self.features(x))
        return torch.cat((self.head(features), features), 1), self.to_embedding(coarse)
