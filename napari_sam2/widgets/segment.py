"""The dock widget: masks from clicks, boxes and shapes, in 2D and through stacks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error
from qtpy.QtCore import QEventLoop, QSize
from qtpy.QtWidgets import QApplication, QVBoxLayout, QWidget

from napari_sam2._controller import SegmentController
from napari_sam2._jobs import JobRunner, Start
from napari_sam2._layers import unwrap
from napari_sam2._settings import load_settings
from napari_sam2._state import SegmentationState
from napari_sam2.dock._ambiguity import Ambiguity
from napari_sam2.dock._bindings import Bindings
from napari_sam2.dock._hover import Hover
from napari_sam2.dock._objects import Objects
from napari_sam2.dock._other_strokes import OtherStrokes
from napari_sam2.engine._backend import Sam2Backend
from napari_sam2.engine._engine import Engine
from napari_sam2.picture._cover import lift
from napari_sam2.stage._sharing import first_image
from napari_sam2.widgets._actions import Actions
from napari_sam2.widgets._closing import close_segment, when_gone
from napari_sam2.widgets._dock_keys import make_shortcuts
from napari_sam2.widgets._fold import NARROWEST, Fold, scrolling_column
from napari_sam2.widgets._holding import Hold
from napari_sam2.widgets._object_table import ObjectPanel
from napari_sam2.widgets._options import OptionsPanel
from napari_sam2.widgets._progress import ProgressRow
from napari_sam2.widgets._prompting import PromptPanel
from napari_sam2.widgets._seeing import SeeingPanel
from napari_sam2.widgets._source import SourcePanel
from napari_sam2.widgets._stack import StackPanel
from napari_sam2.widgets._stack_methods import StackMethods
from napari_sam2.widgets._status import StatusLine
from napari_sam2.widgets._tabs import join_when_docked
from napari_sam2.widgets._threads import run_in_thread
from sam2_core.errors import Sam2Error
from sam2_core.registry import choose_cache_dir

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari.viewer
    from napari.layers import Image, Labels

    from napari_sam2.asking._models import Backend


class SegmentWidget(Actions, StackMethods, QWidget):
    """Segment objects with SAM 2, by hand or from a script.

    A script does the same as a user::

        _, segment = viewer.window.add_plugin_dock_widget("napari-sam2", "Segment")
        segment.choose_image(viewer.layers["nuclei"])
        segment.add_point((120, 80))  # row, column of the plane shown
        segment.add_point((140, 95), positive=False)
        segment.wait()  # the mask is in segment.labels now
        segment.next_object()
        segment.add_box((30, 40), (70, 90))
        segment.propagate("both")  # through the stack
        segment.wait()
        segment.undo()

    Coordinates are data coordinates of the image layer: (row, column) in the plane on
    display, or one number for each axis of the image; integers are pixel centres.
    Methods return at once and the work goes on in the background; :meth:`wait` waits
    for it. What a user can get wrong raises :class:`sam2_core.Sam2Error`.

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
        backend: Backend | None = None,
        start: Start = run_in_thread,
    ) -> None:
        super().__init__(parent)
        # Layers are compared by identity, which napari's proxies do not keep.
        viewer = getattr(viewer, "__wrapped__", viewer)
        settings = load_settings()
        choose_cache_dir(settings.model_folder)
        self.state = SegmentationState(
            model=settings.model,
            device=settings.device,
            preset=settings.preset,
            writing="keep" if settings.keep_labels else "overwrite",
        )
        self.runner = JobRunner(start)
        engine = Engine(backend or Sam2Backend(settings.cache_bytes))
        self.controller = SegmentController(viewer, self.state, self.runner, engine)
        self.objects = Objects(self.controller)
        self.ambiguity = Ambiguity(self.controller)
        self.hover = Hover(self.controller)
        self._error: Sam2Error | None = None
        self._make_stack_parts()

        self.seeing = SeeingPanel(viewer, self.state)
        self.source = SourcePanel(viewer, self.state, seeing=self.seeing)
        self.prompts = PromptPanel(
            self.state, self.controller.notes, self.controller.stage.label_color
        )
        self.options = OptionsPanel(self.state, self.hover)
        self.stack = StackPanel(self.state)
        self.table = ObjectPanel(self.objects)
        self.folds = {
            "objects": Fold("Objects", self.table),
            "options": Fold("Options", self.options, is_open=False),
            "source": Fold("Image and model", self.source, is_open=False),
        }
        self.progress = ProgressRow(self.state)
        self.status_line = StatusLine(self.state)
        self.status = self.status_line.message
        self.hold = Hold(self, self.controller.tasks)
        self._lay_out()
        self._connect()
        strokes = OtherStrokes(self.controller.tasks)
        bindings = Bindings(viewer, self, _run, self.controller.stage, strokes)
        make_shortcuts(self, bindings.press)
        parts = bindings, self.hover, self.tools, self.ambiguity
        when_gone(
            self, close_segment, self.runner, self.controller, self.keeper, *parts
        )
        join_when_docked(self, "napari-sam2-automatic")
        self._begin(viewer)
        self.table.refresh()

    # -- for scripts --------------------------------------------------------------

    @property
    def labels(self) -> Labels | None:
        """The Labels layer that receives the masks; None before an image is chosen."""
        return self.controller.stage.labels

    @property
    def object_id(self) -> int:
        """The object that prompts are for: the selected label."""
        return self.state.object_id

    def choose_image(self, image: Image | None) -> None:
        """Segment this image layer; prompt layers and a Labels layer appear."""
        self.controller.choose_image(unwrap(image))

    def choose_labels(self, labels: Labels | None) -> None:
        """Write into this Labels layer of the image's shape; None for a new one."""
        self.controller.choose_labels(unwrap(labels))

    def choose_model(self, name: str, device: str | None = None) -> None:
        """Use a model of :func:`sam2_core.list_models` from the next prompt on."""
        self.controller.choose_model(name, device)

    def choose_axis(self, axis: int | None) -> None:
        """Propagate along this data axis; None makes every plane stand alone."""
        self.controller.choose_axis(axis)

    def choose_object(self, object_id: int) -> None:
        """Make the next prompts count for this object."""
        self.controller.select_object(object_id)

    def add_point(
        self,
        position: Sequence[float],
        positive: bool | None = None,
        object_id: int | None = None,
    ) -> None:
        """Add a point, as a click does.

        Parameters
        ----------
        position : (row, column) or one coordinate per axis
            Data coordinates.
        positive : bool, optional
            Whether it lies on the object; default the polarity chosen in the dock.
        object_id : int, optional
            Label to prompt; default the current object.
        """
        self.controller.add_point(position, positive, object_id)

    def add_box(
        self,
        corner: Sequence[float],
        opposite: Sequence[float],
        object_id: int | None = None,
    ) -> None:
        """Add a box between two opposite corners, as dragging a rectangle does.

        A second box of an object in a plane is the next object; with ``object_id`` it
        takes the place of the first.
        """
        (top, left), (bottom, right) = corner[-2:], opposite[-2:]
        lead = tuple(corner[:-2])
        outline = [(top, left), (top, right), (bottom, right), (bottom, left)]
        corners = [(*lead, row, column) for row, column in outline]
        self.controller.add_shapes([corners], "rectangle", object_id)

    def add_polygon(
        self, vertices: Sequence[Sequence[float]], object_id: int | None = None
    ) -> None:
        """Add an outline as mask prompt; three or more vertices."""
        self.controller.add_shapes([vertices], "polygon", object_id)

    def add_click(self, world: Sequence[float], positive: bool) -> None:
        """Add a point at world coordinates; clicks beside the image are ignored."""
        try:
            image = self.controller.stage.ensure()[0]
            at = image.world_to_data(world)
            self.controller.placing.check_seen(at)
            self.controller.add_point(at, positive)
        except Sam2Error as error:
            self.state.status = str(error)

    def next_object(self) -> int:
        """Keep the mask and start another object; returns its label."""
        return self.controller.next_object()

    def clear_object(self) -> None:
        """Delete the current object's prompts and its pixels in all frames."""
        self.objects.delete([self.state.object_id])

    def toggle_polarity(self) -> None:
        """Switch between positive and negative prompts."""
        self.set_polarity(not self.state.positive)

    def set_polarity(self, positive: bool) -> None:
        """Whether the next prompts add to the object or take away from it."""
        self.controller.set_polarity(positive)

    def propagate(
        self,
        direction: str | None = None,
        start: int | None = None,
        stop: int | None = None,
    ) -> None:
        """Follow all prompted objects through the frames.

        Parameters
        ----------
        direction : {"both", "forward", "backward"}, optional
            From the prompted frames; default as chosen in the dock.
        start, stop : int, optional
            First and last frame to fill; default as chosen in the dock.
        """
        self.controller.propagate(direction, start, stop)

    def undo(self) -> None:
        """Take back the last prompt, propagation, clearing or change of object."""
        self.controller.undo()

    def cancel(self) -> None:
        """Stop the running work; frames that are done stay."""
        self.controller.cancel()

    def wait(self, timeout: float = 300.0) -> None:
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
        self.setObjectName("napari-sam2-segment")
        scroll = scrolling_column(
            self.offer,
            self.remedy,
            self.prompts,
            self.stack,
            self.review,
            *self.folds.values(),
            self.session_fold,
        )
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(4)
        outer.addWidget(scroll, 1)
        outer.addWidget(self.progress)
        outer.addWidget(self.status_line)
        self.setMinimumWidth(NARROWEST)

    def sizeHint(self) -> QSize:
        """Narrow, and tall enough to need no scroll bar."""
        return QSize(320, 640)

    def _connect(self) -> None:
        controller = self.controller
        self.source.image_requested.connect(self._on_image)
        self.source.labels_requested.connect(self._on_labels)
        self.source.model_requested.connect(self._on_model)
        self.source.device_requested.connect(self._on_device)
        self.source.download_requested.connect(controller.tasks.download)
        self.source.tool_requested.connect(self._on_tool)
        self.source.lift_requested.connect(self._on_lift)
        self.prompts.requested.connect(self._on_method)
        self.options.option_requested.connect(self._on_option)
        self.seeing.option_requested.connect(self._on_option)
        self.seeing.looks_changed.connect(controller.look_again)
        self.table.requested.connect(self._on_objects)
        self.table.count_changed.connect(self._on_count)
        self.progress.cancel_requested.connect(self.cancel)
        self._connect_stack_parts()
        controller.tasks.failed.connect(self._on_failed)

    def _begin(self, viewer: Any) -> None:
        """Choose an image, without being asked."""
        image = first_image(viewer)
        if image is None:
            self.controller.tasks.rest()
            self.controller.prepare()
        else:
            self._try("choose_image", image)
        for layer in list(viewer.layers):
            self._load_session_of(layer)

    # -- slots --------------------------------------------------------------------

    def _try(self, method: str, *args: Any, target: Any = None) -> None:
        """Call a method for the user; what goes wrong becomes a notification."""
        try:
            getattr(target or self, method)(*args)
        except Sam2Error as error:
            self.state.status = str(error)
            show_error(str(error))

    def _on_method(self, method: str, args: tuple[Any, ...]) -> None:
        self._try(method, *args)

    def _on_option(self, name: str, value: Any) -> None:
        self._try("choose_option", name, value)

    def _on_objects(self, method: str, args: tuple[Any, ...]) -> None:
        self._try(method, *args, target=self.objects)

    def _on_count(self, number: int) -> None:
        self.folds["objects"].set_title(f"Objects ({number})" if number else "Objects")

    def _on_failed(self, error: Sam2Error) -> None:
        self._error = error
        show_error(str(error))

    def _on_image(self, layer: Any) -> None:
        self._try("choose_image", layer)

    def _on_tool(self, tool: str) -> None:
        self._try("take_tool", tool)

    def _on_lift(self) -> None:
        stage = self.controller.stage
        if stage.image is not None:
            lift(stage.viewer, stage.image, (stage.labels, stage.shapes, stage.points))

    def _on_labels(self, layer: Any) -> None:
        self._try("choose_labels", layer)
        self.source.refresh()

    def _on_model(self, name: str) -> None:
        self._try("choose_model", name)

    def _on_device(self, device: str) -> None:
        self._try("choose_model", self.state.model, device)


def _run(widget: SegmentWidget, method: str) -> None:
    widget._try(method)
