"""What the model is shown: one layer or all that are visible, whole or in part."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari.layers import Image

from napari_sam2._images import LayerFrames, frames_of
from napari_sam2._layers import current_view
from napari_sam2.picture._channels import Blend, channel_of, coincide
from napari_sam2.picture._image_reference import refer
from napari_sam2.picture._region import Looked, around, extent
from napari_sam2.picture._screen import region_on_screen
from sam2_core.config import VARIANTS
from sam2_core.errors import ImageError

if TYPE_CHECKING:
    import napari.components

    from napari_sam2._images import Region
    from napari_sam2._prompts import ObjectPrompts
    from napari_sam2._state import SegmentationState

MARGIN = 0.125  # of the part on screen, beyond each of its edges, and about prompts
WHOLE = {False: 1280, True: 2048}
"""Longest side of images that are shown whole, without and with close-ups. Models
without see 1024 pixels across; the others lose nothing, but have to read it all."""
SMALLEST = {False: 128, True: 512}  # sides of regions; close-ups choose their own scale
LARGEST = 2048  # of regions for close-ups, which need no more around an object
MOST = 0.7  # of the longer side: a region that shows so much may as well show all


class Sight:
    """Makes the frames that the model reads.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose layers and camera are looked at.
    state : SegmentationState
        Says what the model is to see.
    """

    def __init__(
        self, viewer: napari.components.ViewerModel, state: SegmentationState
    ) -> None:
        self.viewer = viewer
        self.state = state

    def frames(
        self,
        image: Image,
        plane: tuple[int, int],
        position: tuple[int, ...],
        axis: int | None,
    ) -> LayerFrames:
        """Whole frames through ``position``, as one layer or as all that are visible.

        Raises
        ------
        ImageError
            If the image cannot be segmented, or nothing of it is visible.
        """
        frames = frames_of(image, plane, position, axis)
        frames = replace(frames, reference=refer(image))
        if self.state.sees == "layer":
            return frames
        shown, _ = self.shown(image)
        if not shown:
            raise ImageError(
                f"No image of the shape and place of {image.name!r} is visible: show "
                "one, or let the model see the layer alone."
            )
        return replace(frames, look=Blend(tuple(channel_of(each) for each in shown)))

    def through(self, image: Image) -> LayerFrames:
        """The planes that the one on display belongs to."""
        view = current_view(self.viewer, image)
        axis = None if self.state.axis in view.plane else self.state.axis
        return self.frames(image, view.plane, view.position, axis)

    def shown(self, image: Image) -> tuple[list[Image], list[Image]]:
        """Visible images that make the picture, the lowest first, and those left out.

        Images of another shape or place are left out.
        """
        visible = [
            layer
            for layer in self.viewer.layers
            if type(layer) is Image and layer.visible and layer.opacity > 0
        ]
        fits = [layer for layer in visible if coincide(layer, image)]
        return fits, [layer for layer in visible if layer not in fits]

    # -- the part on screen -------------------------------------------------------

    def part(
        self, frames: LayerFrames, image: Image, prompts: ObjectPrompts | None
    ) -> LayerFrames:
        """The frames, or the part of them to look at for these prompts.

        Only planes that stand alone are looked at in parts; what is followed through a
        stack may go anywhere.
        """
        if frames.axis is not None or self._whole(frames.plane_shape):
            return frames
        spots = None if prompts is None else extent(prompts)
        return replace(frames, region=self._region(frames, image, spots))

    def ahead(self, frames: LayerFrames, image: Image) -> LayerFrames | None:
        """What to encode before the first click; None if that cannot be known."""
        if self.close_ups and not self._whole(frames.plane_shape):
            return None  # where it will be is not known, and there is nothing to encode
        return self.part(frames, image, None)

    @property
    def close_ups(self) -> bool:
        """Whether the chosen model answers clicks by close-ups."""
        name = self.state.model
        config = VARIANTS.get(name)  # a file shows what it holds when it is loaded
        return self.state.close_ups.get(name, config is not None and config.closeups)

    def _whole(self, hw: tuple[int, int]) -> bool:
        """Whether planes of this size are always shown whole."""
        wanted = self.state.part
        small = max(hw) <= WHOLE[self.close_ups]
        return wanted == "whole" or (wanted == "auto" and small)

    def _region(
        self,
        frames: LayerFrames,
        image: Image,
        spots: tuple[float, float, float, float] | None,
    ) -> Region | None:
        height, width = hw = frames.plane_shape
        close = self.close_ups
        seen = region_on_screen(self.viewer, image, frames.plane)
        region: tuple[float, float, float, float] = seen or (0, 0, width, height)
        x0, y0, x1, y1 = region
        grown = MARGIN * max(x1 - x0, y1 - y0)
        region = (x0 - grown, y0 - grown, x1 + grown, y1 + grown)
        largest = LARGEST if close and self.state.part == "auto" else max(hw)
        if spots is not None:
            region = _about(spots, region, largest)
        found = around(region, SMALLEST[close], hw)
        if max(found[2] - found[0], found[3] - found[1]) > MOST * max(hw):
            return None
        last = self.state.looked
        if isinstance(last, Looked) and spots is not None:
            here = last.plane, last.position
            if here == (frames.plane, frames.position(0)) and _serves(
                last.region, found, spots, hw
            ):
                return last.region
        return found


def _about(
    spots: tuple[float, float, float, float],
    region: tuple[float, float, float, float],
    largest: float,
) -> tuple[float, float, float, float]:
    """As much of the region as is needed, with all spots well inside.

    It stays where it is if the spots are in it and it is not too large.
    """
    ends = []
    for axis in (0, 1):
        low, high = spots[axis], spots[axis + 2]
        first, last = region[axis], region[axis + 2]
        length = min(last - first, largest)
        length = max(length, (high - low) * (1 + 4 * MARGIN))
        if length < last - first or not first <= low <= high <= last:
            first = (low + high - length) / 2
            last = first + length
        ends.append((first, last))
    return ends[0][0], ends[1][0], ends[0][1], ends[1][1]


def _serves(
    last: Region,
    wanted: Region,
    spots: tuple[float, float, float, float],
    hw: tuple[int, int],
) -> bool:
    """Whether the region looked at last will do, so that nothing is encoded anew."""
    side = max(last[2] - last[0], last[3] - last[1])
    ratio = side / max(wanted[2] - wanted[0], wanted[3] - wanted[1])
    margin = MARGIN * side
    for axis, limit in ((0, hw[1]), (1, hw[0])):
        low = last[axis] + (margin if last[axis] > 0 else 0)
        high = last[axis + 2] - (margin if last[axis + 2] < limit else 0)
        if not low <= spots[axis] <= spots[axis + 2] <= high:
            return False
    return 0.5 <= ratio <= 2
