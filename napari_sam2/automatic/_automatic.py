"""Everything in a plane at once: search, choose among what was found, add to labels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2 import _layers
from napari_sam2._automatic_state import ON_SCREEN, WHOLE, AutomaticState
from napari_sam2._jobs import JobRunner, run_inline
from napari_sam2.asking._remedies import TO_DOWNLOAD
from napari_sam2.automatic._adding import ADDED, Searched, add_objects, take_back_added
from napari_sam2.automatic._chosen import KNOWN, NONE, Chosen, choose
from napari_sam2.automatic._preview import Preview
from napari_sam2.automatic._search import Sam2SearchBackend, SearchEngine, SearchOptions
from napari_sam2.automatic._search_tasks import SearchTasks
from napari_sam2.picture._one_frame import fitting
from napari_sam2.picture._screen import region_on_screen
from napari_sam2.picture._sight import Sight
from napari_sam2.stage import _aside
from napari_sam2.stage._sharing import belong, history_of, in_use, labels_of, used_for
from sam2_core.errors import CheckpointError, ImageError

if TYPE_CHECKING:
    import napari.components
    from napari.layers import Image, Labels
    from numpy.typing import NDArray

    from napari_sam2._images import LayerFrames
    from napari_sam2._jobs import Runs
    from napari_sam2.automatic._search import Candidates, Region
    from sam2_core.everything.candidates import MaskCandidate

FILTERS = ("min_iou", "min_stability", "min_area", "max_area", "min_roundness")


class AutomaticController:
    """Finds everything in an image, with or without a window.

    A script does the same as a user::

        viewer = napari.components.ViewerModel()
        automatic = AutomaticController(viewer)
        automatic.choose_image(viewer.add_image(data))
        automatic.search()
        automatic.filter(min_iou=0.7, max_area=5000)
        ids = automatic.add_to_labels()
        viewer.layers["SAM2 labels"].data

    By default the work is done at once, inside the call; the dock hands in a runner
    with a thread. What a user can get wrong raises :class:`sam2_core.Sam2Error`; what
    goes wrong during the work is emitted by ``tasks.failed``.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Holds the layers.
    state : AutomaticState, optional
        Choices of the user and progress of the work.
    runner : Runs, optional
        Does the background work.
    engine : SearchEngine, optional
        Does the computing, on the runner's thread.
    """

    def __init__(
        self,
        viewer: napari.components.ViewerModel,
        state: AutomaticState | None = None,
        runner: Runs | None = None,
        engine: SearchEngine | None = None,
    ) -> None:
        self.viewer = viewer
        self.state = state or AutomaticState()
        self.runner = runner or JobRunner(run_inline)
        engine = engine or SearchEngine(Sam2SearchBackend())
        self.tasks = SearchTasks(self.state, self.runner, engine)
        self.preview = Preview(viewer)
        self.sight = Sight(viewer, self.state)
        self._searched: Searched | None = None
        self._limits_for = ""  # model that the limits of IoU and stability suit
        self._told = False  # by the user, which labels to add to
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        in_use.connect(self._follow_dock)

    # -- choices ------------------------------------------------------------------

    def choose_image(self, image: Image | None) -> None:
        """Search this image; candidates of another one are forgotten."""
        if image is self.state.image:
            return
        self.runner.cancel("search")
        self.discard()
        self._told = False
        self.state.update(
            image=image, labels=None if image is None else self._own(image)
        )
        self._show_undo()
        self.tasks.rest()

    def choose_labels(self, labels: Labels | None) -> None:
        """Add to this layer, or to a new one; Sam2Error if it does not fit."""
        image = self.state.image
        if labels is not None and image is not None:
            labels = fitting(self.viewer, labels, image)
        self._told = True
        self._use_labels(labels)

    def choose_model(self, name: str | None = None, device: str | None = None) -> None:
        """Search with another model or on another device from now on."""
        self.state.update(
            model=name or self.state.model, device=device or self.state.device
        )
        self.tasks.rest()

    # -- searching ----------------------------------------------------------------

    @property
    def candidates(self) -> list[MaskCandidate]:
        """All masks found by the last search, best first, before any filter."""
        return [] if self._searched is None else list(self._searched.masks)

    def search(self, region: Region | str | None = None) -> None:
        """Look for everything in the plane on display.

        Objects that the border of the region cuts are left out.

        Parameters
        ----------
        region : {"image", "screen"} or (x0, y0, x1, y1), optional
            All of the plane, the part on screen, or a part in pixels, x1 and y1
            excluded. Default as chosen in the state.

        Raises
        ------
        Sam2Error
            If there is no image, no plane of it on display, nothing to see, no model or
            an empty region.
        """
        image = self.state.image
        if image is None:
            raise ImageError("Open an image and choose it in the Automatic dock.")
        if self.viewer.dims.ndisplay != 2:
            raise ImageError("Switch the viewer to 2D display to search a plane.")
        view = _layers.current_view(self.viewer, image)
        if self.state.model in self.state.missing:
            raise CheckpointError(TO_DOWNLOAD.format(self.state.model))
        frames = self.sight.frames(image, view.plane, view.position, None)
        part = self._region(self.state.where if region is None else region, frames)
        options = SearchOptions(
            part, self.state.points_per_side, self.state.crop_layers
        )

        model = self.state.model

        def found(item: Candidates) -> str:
            self._suggest(model, item.thresholds)
            return self._take(Searched(image, frames, item.masks, model, options))

        self.tasks.search(frames, options, found)

    def filter(self, **limits: float) -> None:
        """Show only some of the candidates; the model is not asked again.

        The first search with a model sets limits of IoU and stability that suit it,
        unless they have been chosen before.

        Parameters
        ----------
        **limits : float
            Any of ``min_iou``, ``min_stability`` and ``min_roundness`` (0 to 1), and
            ``min_area`` and ``max_area`` (pixels). Others stay as they are.

        Raises
        ------
        TypeError
            If there is no such limit.
        """
        for name in limits:
            if name not in FILTERS:
                raise TypeError(f"{name!r} is not one of {', '.join(FILTERS)}")
        if not limits.keys().isdisjoint(("min_iou", "min_stability")):
            self._limits_for = self.state.model
        self.state.update(**limits)
        self.refresh()

    def keep_labels(self, keep: bool) -> None:
        """Say whether pixels that carry a label already are left alone."""
        self.state.writing = "keep" if keep else "overwrite"
        self.refresh()

    def refresh(self) -> None:
        """Show the candidates that pass, as they would be added now."""
        searched = self._searched
        if searched is None:
            self.preview.remove()
            self.state.update(searched=False, found=0, shown=0, smallest=0, largest=0)
            return
        frames = searched.frames
        chosen = self._chosen(searched)
        self.preview.show(searched.image, frames.plane, frames.fixed, chosen.ids)
        self.state.shown = len(chosen.numbers)

    def discard(self) -> None:
        """Forget the candidates and take the preview away."""
        self._searched = None
        self.refresh()
        self.tasks.rest()

    # -- the labels ---------------------------------------------------------------

    def add_to_labels(self) -> list[int]:
        """Write the candidates shown into the labels layer, each with a new label.

        Returns
        -------
        list of int
            The new labels, consecutive.

        Raises
        ------
        Sam2Error
            If there is nothing to add or the layer cannot hold so many labels.
        """
        searched = self._searched
        if searched is None:
            raise ImageError("Find objects first, then add them to the labels.")
        chosen = self._chosen(searched)
        if not chosen.numbers:
            raise ImageError(KNOWN if chosen.known else NONE)
        labels = self.state.labels or self._new_labels(searched.image)
        belong(labels, searched.image)
        _aside.bring_back([labels])
        limits = {name: float(getattr(self.state, name)) for name in FILTERS}
        keep = self.state.writing != "overwrite"
        ids = add_objects(labels, searched, chosen, keep, limits)
        self._show_undo()
        self.refresh()
        many = "objects" if len(ids) > 1 else "object"
        added = f"Added {len(ids)} {many} to {labels.name!r}{searched.where}."
        self.state.status = added
        return ids

    def undo(self) -> None:
        """Take back what was added last to the labels layer in use."""
        if not take_back_added(self.state.labels):
            self.state.status = "Nothing to undo."
            return
        self._show_undo()
        self.refresh()
        self.tasks.rest()

    def cancel(self) -> None:
        """Stop the running work; candidates of the search before stay."""
        self.runner.cancel()

    def close(self) -> None:
        """The dock is gone, and candidates, that nobody could add any more, with it."""
        in_use.disconnect(self._follow_dock)
        self._searched = None
        self.preview.remove()

    # -- helpers ------------------------------------------------------------------

    def _region(self, region: Region | str, frames: LayerFrames) -> Region | None:
        height, width = frames.shape
        if region == WHOLE:
            return None
        if region == ON_SCREEN:
            assert self.state.image is not None
            seen = region_on_screen(self.viewer, self.state.image, frames.plane)
            if seen is None:
                raise ImageError(f"{self.state.image.name!r} is not on screen.")
        elif isinstance(region, str):
            raise ImageError(f"The region must be 'image' or 'screen', not {region!r}.")
        else:
            x0, y0, x1, y1 = (int(v) for v in region)
            seen = max(0, x0), max(0, y0), min(width, x1), min(height, y1)
        if seen[2] - seen[0] < 2 or seen[3] - seen[1] < 2:
            raise ImageError("There is too little of the image to search; zoom out.")
        return None if seen == (0, 0, width, height) else seen

    def _suggest(self, model: str, thresholds: tuple[float, float]) -> None:
        """Start with limits that suit the model, unless the user has chosen some."""
        if model != self._limits_for:
            self._limits_for = model
            iou, stability = thresholds
            self.state.update(min_iou=iou, min_stability=stability)

    def _take(self, searched: Searched) -> str:
        """Candidates have arrived: show them; returns what to say about them."""
        if searched.image is not self.state.image:
            return ""
        self._searched = searched
        areas = [mask.area for mask in searched.masks]
        self.state.update(
            searched=True,
            found=len(areas),
            smallest=min(areas, default=0),
            largest=max(areas, default=0),
        )
        self.refresh()
        many = f"{len(areas)} candidate{'' if len(areas) == 1 else 's'}{searched.where}"
        if areas and not self.state.shown and self._chosen(searched).known:
            return f"{many}. {KNOWN}"
        if self.state.shown or not areas or self._labelled(searched) is not None:
            return f"{many}: choose with the sliders, then add to the labels."
        self._relax(searched.masks)
        return f"{many}; the limits were lowered, as none reached them."

    def _relax(self, masks: list[MaskCandidate]) -> None:
        """Lower the limits for a model that is less sure of itself than they ask."""
        iou = np.median([mask.predicted_iou for mask in masks])
        stability = np.quantile([mask.stability_score for mask in masks], 0.25)
        self.filter(
            min_iou=min(self.state.min_iou, math.floor(100 * iou) / 100),
            min_stability=min(
                self.state.min_stability, math.floor(100 * stability) / 100
            ),
        )

    def _chosen(self, searched: Searched) -> Chosen:
        state = self.state
        return choose(
            searched.masks,
            searched.frames.shape,
            self._labelled(searched),
            min_iou=state.min_iou,
            min_stability=state.min_stability,
            min_area=state.min_area,
            max_area=None if math.isinf(state.max_area) else state.max_area,
            min_roundness=state.min_roundness,
        )

    def _labelled(self, searched: Searched) -> NDArray[np.bool_] | None:
        """Pixels that are to stay as they are; None if there are none."""
        labels, frames = self.state.labels, searched.frames
        if labels is None:
            return None
        here = np.asarray(labels.data[_layers.plane_index(frames.plane, frames.fixed)])
        if self.state.writing == "overwrite":
            labelled = np.isin(here, list(history_of(labels).locked))
        else:
            labelled = here > 0
        return labelled if labelled.any() else None

    def _use_labels(self, labels: Labels | None) -> None:
        self.state.labels = labels
        self._show_undo()
        self.refresh()

    def _own(self, image: Image) -> Labels | None:
        """Those that a dock uses for the image, else the newest of the plugin's."""
        used = used_for(image, self.viewer.layers)
        if used is not None:
            return used
        for layer in labels_of(image, self.viewer.layers):
            if layer.name.startswith(_layers.LABELS_NAME):
                return layer
        return None

    def _new_labels(self, image: Image) -> Labels:
        labels = _layers.new_labels(image)
        belong(labels, image)
        _layers.add_aside(self.viewer, labels)
        self._told = False
        self.state.labels = labels
        return labels

    def _show_undo(self) -> None:
        """What was added last can be taken back until something else is done."""
        history = history_of(self.state.labels)
        history.changed.connect(self._show_undo, unique=True)
        self.state.undo_text = ADDED if history.text == ADDED else ""

    def _on_inserted(self, _: Any) -> None:
        """Labels that another dock makes for the image are those to add to."""
        if self.state.labels is None:
            self._follow_dock()

    def _follow_dock(self) -> None:
        """Add to the labels in use for the image, unless others were chosen."""
        image = self.state.image
        labels = None if image is None or self._told else self._own(image)
        if labels is not None and labels is not self.state.labels:
            self._use_labels(labels)

    def _on_removed(self, event: Any) -> None:
        layer, image = event.value, self.state.image
        if layer is image:
            self.choose_image(None)
        elif layer is self.state.labels:
            self._told = False
            self._use_labels(None if image is None else self._own(image))
        elif layer is self.preview.layer:
            self.discard()
