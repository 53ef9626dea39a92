"""A mask in the labels, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_sam2._masks import PackedMask
    from napari_sam2._prompts import ObjectPrompts


@dataclass(frozen=True)
class Written:
    """A mask that the labels show because of the plugin.

    Attributes
    ----------
    prompts : ObjectPrompts
        What was asked for; empty for a mask that was propagated.
    before : PackedMask or None
        The object's pixels in this plane before its first prompt there; they come back
        when the last prompt is deleted. None when there were none.
    foreign : PackedMask or None
        The object's pixels before the plugin wrote any.
    """

    prompts: ObjectPrompts
    before: PackedMask | None = None
    foreign: PackedMask | None = None
