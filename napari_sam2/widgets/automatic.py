"""The dock widget: everything in an image at once, chosen with sliders."""

from __future__ import annotations

import time
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from napari.utils.notifications import show_error
from qtpy.QtCore import QEventLoop, QSize, Qt
from qtpy.QtWidgets import (
    QApplication,
    QFrame,
    QGroupBox,
    QLabel,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_sam2._automatic_state import AutomaticState
from napari_sam2._jobs import JobRunner, Start
from napari_sam2._layers import unwrap
from napari_sam2._settings import load_settings
from napari_sam2._state import SEES
from napari_sam2.automatic._automatic import AutomaticController
from napari_sam2.automatic._search import Sam2SearchBackend, SearchBackend, SearchEngine
from napari_sam2.dock._keys import SHORTCUTS
from napari_sam2.picture._cover import lift
from napari_sam2.widgets._choosing import ChoicePanel
from napari_sam2.widgets._closing import close_automatic, when_gone
from napari_sam2.widgets._dock_keys import make_shortcuts, pass_on
from napari_sam2.widgets._fold import NARROWEST
from napari_sam2.widgets._searching import SearchPanel, SearchProgress
from napari_sam2.widgets._seeing import SeeingPanel
from napari_sam2.widgets._source import SourcePanel
from napari_sam2.widgets._tabs import join_when_docked
from napari_sam2.widgets._threads import run_in_thread
from sam2_core.errors import PromptError, Sam2Error
from sam2_core.registry import choose_cache_dir

if TYPE_CHECKING:
    import napari.viewer

    from napari_sam2.automatic._search import Region
    from napari_sam2.dock._keys import Shortcut
    from sam2_core.everything.candidates import MaskCandidate


class AutomaticWidget(QWidget):
    """Segment everything with SAM 2, by hand or from a script.

    A script does the same as a user::

        _, automatic = viewer.window.add_plugin_dock_widget("napari-sam2", "Automatic")
        automatic.choose_image(viewer.layers["cells"])
        automatic.search("image")  # or "screen", or (x0, y0, x1, y1)
        automatic.wait()  # automatic.candidates is filled now
        automatic.filter(min_iou=0.7, min_area=50, max_area=5000)
        ids = automatic.add_to_labels()  # they are in automatic.labels now
        automatic.undo()

    Of a stack, the plane on display is searched. :meth:`search` returns at once and
    the work goes on in the background; :meth:`wait` waits for it. What a user can get
    wrong raises :class:`sam2_core.Sam2Error`.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Holds the layers; ``ViewerModel`` will do.
    backend : optional
        Replacement for the real models.
    start : optional
        Replacement for Qt's threads, see :class:`napari_sam2._jobs.JobRunner`.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        parent: QWidget | None = None,
        backend: SearchBackend | None = None,
        start: Start = run_in_thread,
    ) -> None:
        super().__init__(parent)
        # Layers are compared by identity, which napari's proxies do not keep.
        viewer = getattr(viewer, "__wrapped__", viewer)
        settings = load_settings()
        choose_cache_dir(settings.model_folder)
        self.state = AutomaticState(
            model=settings.model,
            device=settings.device,
            writing="keep" if settings.keep_labels else "overwrite",
        )
        self.runner = JobRunner(start)
        engine = SearchEngine(backend or Sam2SearchBackend())
        self.controller = AutomaticController(viewer, self.state, self.runner, engine)
        self._error: Sam2Error | None = None

        self.seeing = SeeingPanel(viewer, self.state, parts=False)
        self.source = SourcePanel(viewer, self.state, seeing=self.seeing)
        self.searching = SearchPanel(self.state)
        self.choosing = ChoicePanel(self.state)
        self.progress = SearchProgress(self.state)
        self.status = QLabel()
        self._lay_out()
        self._connect()
        make_shortcuts(self, partial(_press, weakref.ref(self)))
        when_gone(self, close_automatic, self.runner, self.controller, engine)
        self._begin(viewer)
        join_when_docked(self, "napari-sam2-segment")

    # -- for scripts --------------------------------------------------------------

    @property
    def labels(self) -> Labels | None:
        """The Labels layer that objects are added to; None until there is one."""
        return self.state.labels

    @property
    def candidates(self) -> list[MaskCandidate]:
        """Everything the last search has found, before any filter."""
        return self.controller.candidates

    def choose_image(self, image: Image | None) -> None:
        """Search this image layer."""
        self.controller.choose_image(unwrap(image))

    def choose_labels(self, labels: Labels | None) -> None:
        """Add to this Labels layer of the image's shape; None for a new one."""
        self.controller.choose_labels(unwrap(labels))

    def choose_model(self, name: str, device: str | None = None) -> None:
        """Use a model of :func:`sam2_core.list_models` from the next search on."""
        self.controller.choose_model(name, device)

    def choose_sight(self, sees: str) -> None:
        """Show the model the image alone, "layer", or all that is visible, "shown"."""
        if sees not in SEES:
            raise PromptError(f"What the model sees is one of {', '.join(SEES)}.")
        self.state.sees = sees

    def search(self, region: Region | str | None = None) -> None:
        """Look for everything in the plane on display.

        Parameters
        ----------
        region : {"image", "screen"} or (x0, y0, x1, y1), optional
            All of the plane, the part on screen, or a part in pixels, x1 and y1
            excluded; default as chosen in the dock. Objects that the border of a
            part cuts are left out.
        """
        self.controller.search(region)

    def filter(self, **limits: float) -> None:
        """Show only some of the candidates, as moving the sliders does.

        Parameters
        ----------
        **limits : float
            ``min_iou``, ``min_stability``, ``min_roundness``: 0 to 1; ``min_area``,
            ``max_area``: pixels. Those not given stay as they are.
        """
        self.controller.filter(**limits)

    def add_to_labels(self) -> list[int]:
        """Write the candidates shown into the labels; returns their new labels."""
        return self.controller.add_to_labels()

    def undo(self) -> None:
        """Take back what was added last."""
        self.controller.undo()

    def discard(self) -> None:
        """Forget the candidates and take the preview away."""
        self.controller.discard()

    def cancel(self) -> None:
        """Stop the running search."""
        self.controller.cancel()

    def wait(self, timeout: float = 600.0) -> None:
        """Wait until all work is done; the window stays alive meanwhile.

        Parameters
        ----------
        timeout : float
            Seconds.

        Raises
        ------
        TimeoutError
            If the work takes longer; it goes on.
        Sam2Error
            The error that ended the work, if one did since the last call.
        """
        end = time.monotonic() + timeout
        while self.runner.busy:
            if time.monotonic() > end:
                raise TimeoutError(f"Still busy after {timeout:g} s.")
            QApplication.processEvents(QEventLoop.AllEvents, 20)
            time.sleep(0.005)
        error, self._error = self._error, None
        if error is not None:
            raise error

    # -- setting up ---------------------------------------------------------------

    def _lay_out(self) -> None:
        self.setObjectName("napari-sam2-automatic")
        self.status.setWordWrap(True)
        self.status.setIndent(0)
        self.status.setAlignment(Qt.AlignLeft | Qt.AlignTop)
        self.status.setContentsMargins(12, 0, 4, 2)  # as in the other dock
        self.status.setMinimumHeight(2 * self.status.fontMetrics().lineSpacing())
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(4, 4, 4, 4)
        column.setSpacing(8)
        source = QGroupBox("Image and model")
        inner = QVBoxLayout(source)
        inner.setContentsMargins(0, 6, 0, 4)
        inner.addWidget(self.source)
        for panel in (source, self.searching, self.choosing):
            column.addWidget(panel)
        column.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidget(content)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.NoFrame)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(4)
        outer.addWidget(scroll, 1)
        outer.addWidget(self.progress)
        outer.addWidget(self.status)
        self.setMinimumWidth(NARROWEST)

    def sizeHint(self) -> QSize:
        """Narrow, and tall enough to need no scroll bar."""
        return QSize(320, 700)

    def _connect(self) -> None:
        controller = self.controller
        self.seeing.option_requested.connect(self._on_option)
        self.source.image_requested.connect(self._on_image)
        self.source.labels_requested.connect(self._on_labels)
        self.source.model_requested.connect(self._on_model)
        self.source.device_requested.connect(self._on_device)
        self.source.download_requested.connect(controller.tasks.download)
        self.source.lift_requested.connect(self._on_lift)
        self.searching.search_requested.connect(self._on_search)
        self.choosing.filter_requested.connect(self._on_filter)
        self.choosing.add_requested.connect(self._on_add)
        self.choosing.undo_requested.connect(self._on_undo)
        self.choosing.discard_requested.connect(controller.discard)
        self.choosing.keep_requested.connect(controller.keep_labels)
        self.progress.cancel_requested.connect(self.cancel)
        controller.tasks.failed.connect(self._on_failed)
        self.state.events.status.connect(self._show_status)

    def _begin(self, viewer: Any) -> None:
        """Choose the selected image, else the newest, without being asked."""
        images = [layer for layer in viewer.layers if type(layer) is Image]
        active = viewer.layers.selection.active
        image = active if active in images else next(reversed(images), None)
        if image is not None:
            self._try("choose_image", image)
        self.controller.tasks.survey()
        self.controller.tasks.rest()
        self._show_status()

    # -- slots --------------------------------------------------------------------

    def _try(self, method: str, *args: Any, **kwargs: Any) -> None:
        """Call a method for the user; what goes wrong becomes a notification."""
        try:
            getattr(self, method)(*args, **kwargs)
        except Sam2Error as error:
            self.state.status = str(error)
            show_error(str(error))

    def _on_failed(self, error: Sam2Error) -> None:
        self._error = error
        show_error(str(error))

    def _on_option(self, _name: str, value: str) -> None:
        self._try("choose_sight", value)

    def _on_image(self, layer: Any) -> None:
        self._try("choose_image", layer)

    def _on_lift(self) -> None:
        state = self.controller.state
        if state.image is not None:
            lift(self.controller.viewer, state.image, [state.labels])

    def _on_labels(self, layer: Any) -> None:
        self._try("choose_labels", layer)
        self.source.refresh()

    def _on_model(self, name: str) -> None:
        self._try("choose_model", name)

    def _on_device(self, device: str) -> None:
        self._try("choose_model", self.state.model, device)

    def _on_search(self) -> None:
        self._try("search")

    def _on_filter(self, limits: dict[str, float]) -> None:
        self._try("filter", **limits)

    def _on_add(self) -> None:
        self._try("add_to_labels")

    def _on_undo(self) -> None:
        self._try("undo")

    def _show_status(self, *_: Any) -> None:
        self.status.setText(self.state.status)


def _press(widget: weakref.ref[AutomaticWidget], shortcut: Shortcut) -> None:
    """Esc and Ctrl+Z are for what the dock did last; other keys are the canvas's."""
    dock = widget()
    if dock is None:
        return
    if shortcut is SHORTCUTS["cancel"] and dock.state.busy:
        dock.cancel()
    elif shortcut is SHORTCUTS["undo"] and dock.state.undo_text:
        dock._try("undo")
    else:
        pass_on(dock.controller.viewer, shortcut)
