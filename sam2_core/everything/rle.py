"""Masks as run lengths, in the two spellings of COCO."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def mask_to_counts(mask: NDArray[np.bool_]) -> list[int]:
    """Lengths of runs down the columns, background first.

    Parameters
    ----------
    mask : ndarray
        (H, W) bool.

    Returns
    -------
    list of int
        Background, mask, background ...; the first is 0 if the first pixel is in the
        mask. The sum is H * W.
    """
    pixels = np.ravel(mask, order="F")
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    edges = np.concatenate(([0], changes, [pixels.size]))
    start = [0] if pixels.size and pixels[0] else []
    return [*start, *np.diff(edges).tolist()]


def counts_to_string(counts: Sequence[int]) -> str:
    """Run lengths as COCO's compressed text.

    From the fourth on, each length is the difference to the one two before. A number
    is written in groups of 5 bits, lowest first, with a sixth bit where more follow,
    each group as one character from "0" on.
    """
    text = []
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        while True:
            group = value & 0x1F
            value >>= 5
            # Done once the rest is only the sign that the group's top bit gives.
            done = value == (-1 if group & 0x10 else 0)
            text.append(chr(48 + group + (0 if done else 0x20)))
            if done:
                break
    return "".join(text)
