"""Prompts placed by scripts, as a user would place them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2 import _layers
from napari_sam2._drawing import count_finished
from napari_sam2._images import check_plane
from napari_sam2._labels import LARGEST_ID, check_new, too_large
from napari_sam2._layers import IN_3D
from napari_sam2.picture._cover import why_unseen
from napari_sam2.picture._screen import camera_of
from napari_sam2.stage._advice import BACKGROUND
from napari_sam2.stage._assigning import assign
from sam2_core.errors import ImageError, PromptError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam2._layers import View
    from napari_sam2._state import SegmentationState
    from napari_sam2.history._object_notes import ObjectNotes
    from napari_sam2.history._snapshots import Snapshot
    from napari_sam2.stage._free_ids import FreeIds
    from napari_sam2.stage._stage import Stage
    from napari_sam2.tasks._steps import Steps


OUTSIDE = "That was outside the image; click or draw inside it."
CLICKED = "That was a click: drag to draw a box, or press P to click points."
CLICK_PIXELS = 3.0  # on the screen; a hand that drags less meant to click


class Placing:
    """Checks positions and adds prompts to the layers.

    Parameters
    ----------
    state, stage, notes
        What is chosen, the layers, and which objects are locked.
    """

    def __init__(
        self, state: SegmentationState, stage: Stage, notes: ObjectNotes
    ) -> None:
        self.state = state
        self.stage = stage
        self.notes = notes
        self._told = False  # which object the shapes on their way are for
        self._scripted = False  # whether prompts on their way were not drawn by hand
        self._seen: Any = None  # first corner of an outline begun on what is seen
        stage.drawing.begun.connect(self._on_begun)

    def point(self, position: Sequence[float], positive: bool | None) -> None:
        """Add a point at (row, column) of the plane shown or at nD data coordinates."""
        full = self.locate(position)
        self.check()
        self._scripted = True
        try:
            self.stage.add_point(full, self._sign(positive))
        finally:
            self._scripted = False

    def shapes(
        self, shapes: Any, kind: str, positive: bool | None, told: bool = False
    ) -> None:
        """Add shapes of (row, column) or nD corners, all at once.

        ``told``: a box is for the current object, also if that has one already.
        """
        outlines = [[self.locate(corner) for corner in shape] for shape in shapes]
        self.check()
        self._told, self._scripted = told, True
        try:
            self.stage.add_shapes(outlines, kind, self._sign(positive))
        finally:
            self._told = self._scripted = False

    def assign(self, before: Snapshot | None, ids: FreeIds) -> list[int]:
        """Give what was just drawn its objects; see :func:`_assigning.assign`.

        PromptError if the labels cannot hold so many.
        """
        stage, state = self.stage, self.state
        current, each = state.object_id, state.each
        following, taken = ids.first(), current in ids.ledger.ids
        given = assign(stage, before, each, current, following, self._told, taken)
        if given and stage.labels is not None:
            check_new(stage.labels, max(given))
        return given

    def locate(self, position: Sequence[float]) -> list[float]:
        """Full data coordinates; PromptError beside the image."""
        image = self.stage.ensure()[0]
        view = _layers.current_view(self.stage.viewer, image)
        full = _full_coordinates(view, position)
        shape = _layers.image_shape(image)
        if any(not -0.5 <= v < n - 0.5 for v, n in zip(full, shape, strict=True)):
            place = ", ".join(f"{float(value):.1f}" for value in position)
            raise PromptError(f"({place}) lies outside the image {shape}.")
        return full

    def _sign(self, positive: bool | None) -> bool:
        return self.state.positive if positive is None else positive

    def check(self) -> None:
        """PromptError if the current object cannot be prompted."""
        if self.state.object_id < 1:
            raise PromptError(BACKGROUND.format(self.state.object_id))
        if self.state.object_id in self.notes.locked:
            raise PromptError(self.notes.refusal(self.state.object_id))
        if self.state.object_id > LARGEST_ID:
            raise PromptError(too_large(self.notes.name(self.state.object_id)))

    def check_seen(self, at: Sequence[float]) -> None:
        """PromptError if the image cannot be seen at these data coordinates."""
        if unseen := self._why_unseen(at):
            raise PromptError(unseen)

    def why_not(self, steps: Steps) -> str:
        """Reason why what was just drawn or moved has to go back; "" if it may stay."""
        if locked := steps.touched(self.notes.locked):
            return self.notes.refusal(locked)
        now, last = self.stage.snapshot(), steps.last
        image = self.stage.image
        if image is None or now is None or last is None:
            return ""
        more = len(now.points) + len(now.shapes) > len(last.points) + len(last.shapes)
        if more and self.stage.viewer.dims.ndisplay != 2:
            return IN_3D
        if more and self.state.object_id < 1:
            return BACKGROUND.format(self.state.object_id)
        if more and self.state.object_id > LARGEST_ID:
            return too_large(self.notes.name(self.state.object_id))
        if more:
            try:
                check_plane(image, _layers.current_view(self.stage.viewer, image).plane)
            except ImageError as error:
                return str(error)
            if unseen := self._unseen(now, last):
                return unseen
        if self._is_click(len(last.shapes)):
            return CLICKED
        shape = _layers.image_shape(image)
        return OUTSIDE if _outside(now, shape) - _outside(last, shape) else ""

    def reveal(self, steps: Steps) -> None:
        """Draw hidden objects again that were just prompted."""
        while hidden := steps.touched(self.notes.hidden):
            self.notes.hide(hidden, False)

    def _unseen(self, now: Snapshot, last: Snapshot) -> str:
        """Why the user does not see what was just drawn on; "" if that is all right."""
        if self._scripted:
            return ""
        places = [*now.points[len(last.points) :]]
        new = now.shapes[len(last.shapes) :]
        places += [xy.mean(0) for xy in new if not np.array_equal(xy[0], self._seen)]
        return next(filter(None, map(self._why_unseen, places)), "")

    def _on_begun(self, at: NDArray[Any]) -> None:
        """What nobody would see is not drawn to its end; what was begun may be."""
        unseen = self._why_unseen(at.tolist())
        self._seen = None if unseen else at
        if unseen and self.stage.drawing.drop():
            self.state.status = unseen

    def _why_unseen(self, at: Sequence[float]) -> str:
        image = self.stage.ensure()[0]
        return why_unseen(self.stage.viewer, self.state, image, at)

    def _is_click(self, before: int) -> bool:
        """Whether the last shape, after so many, is a box that nobody drew."""
        shapes = self.stage.shapes
        if self._scripted or shapes is None or count_finished(shapes) <= before:
            return False
        clicked = self.stage.drawing.was_click()
        if str(shapes.shape_type[-1]) != "rectangle":
            return False
        extent = np.ptp([shapes.data_to_world(xy) for xy in shapes.data[-1]], axis=0)
        on_screen = extent.max() * camera_of(self.stage.viewer).zoom
        return clicked or bool(on_screen < CLICK_PIXELS)


def _outside(prompts: Snapshot, shape: tuple[int, ...]) -> set[bytes]:
    """Points and shapes that lie beside the image with all of their vertices."""
    found = set()
    for vertices in (*(xy[None] for xy in prompts.points), *prompts.shapes):
        low, high = np.floor([vertices.min(0) + 0.5, vertices.max(0) + 0.5])
        if (high < 0).any() or (low >= shape).any():
            found.add(vertices.tobytes())
    return found


def _full_coordinates(view: View, position: Sequence[float]) -> list[float]:
    """Complete (row, column) with the position shown; nD coordinates stay.

    Raises
    ------
    PromptError
        If the number of coordinates is neither 2 nor that of the image's axes.
    """
    if len(position) == view.ndim:
        return [float(v) for v in position]
    if len(position) != 2:
        raise PromptError(
            f"A position needs 2 or {view.ndim} coordinates, not {len(position)}."
        )
    full = np.empty(view.ndim)
    full[list(view.others)] = view.position
    full[list(view.plane)] = position
    return [float(v) for v in full]
