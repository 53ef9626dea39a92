"""The dock widget with a fake model, and helpers to drive a real window."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.utils.notifications import notification_manager

sys.path.insert(0, str(Path(__file__).parents[1] / "plugin"))
sys.path.insert(0, str(Path(__file__).parent))

from dock import FRAMES, at
from fakes import FakeBackend

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, backend: FakeBackend) -> FakeBackend:
    """Let the installed plugin use the fake model."""
    from napari_sam2.engine._backend import Sam2Backend

    names = ("load_model", "predictor", "session", "blank", "warm", "glance")
    names += ("devices", "missing", "download")
    for name in names:
        method = getattr(backend, name)
        monkeypatch.setattr(
            Sam2Backend, name, lambda self, *a, _m=method, **k: _m(*a, **k)
        )
    return backend


@pytest.fixture
def segment(qtbot: Any, backend: FakeBackend) -> Callable[..., Any]:
    """Make a dock on a ViewerModel; the work is done on the spot by default."""
    from napari.components import ViewerModel

    from napari_sam2._jobs import run_inline
    from napari_sam2.widgets.segment import SegmentWidget

    def make(data: Any = None, start: Any = run_inline, **kwargs: Any) -> Any:
        viewer = ViewerModel()
        if data is not None:
            viewer.add_image(data, **kwargs)
        widget = SegmentWidget(viewer, backend=backend, start=start)
        widget.viewer_model = viewer
        qtbot.addWidget(widget)
        return widget

    return make


@pytest.fixture(autouse=True)
def _no_old_messages():
    notification_manager.records.clear()


@pytest.fixture
def opened(make_napari_viewer: Any, backend: FakeBackend, qtbot: Any) -> Any:
    """A real window with an empty image of 40 x 60 pixels, and the dock in it."""
    from napari_sam2.widgets.segment import SegmentWidget

    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.zeros((40, 60)))
    dock = SegmentWidget(viewer, backend=backend)
    viewer.window.add_dock_widget(dock, name="Segment")
    dock.wait(30)
    qtbot.waitExposed(viewer.window._qt_window)
    return viewer, dock


@pytest.fixture
def stack(segment: Callable[..., Any]) -> Callable[..., Any]:
    """A dock of fixed width on a stack with object 1 prompted on frame 3."""

    def make(data: Any = FRAMES, axis: str = "z") -> Any:
        w = segment(data, axis_labels=(axis, "y", "x"))
        w.resize(320, 900)
        w.show()
        at(w, 3)
        w.add_point((10, 20))
        return w

    return make


@pytest.fixture
def halfway(fake: FakeBackend, qtbot: Any) -> Any:
    """Propagate, and come back while the third frame is being worked on."""
    gates = []

    def begin(segment: Any) -> threading.Event:
        gates.append(threading.Event())
        before = fake.answers

        def hold() -> None:
            if fake.answers > before + 2:
                gates[-1].wait(20)

        fake.on_answer = hold
        segment.propagate("forward")
        qtbot.waitUntil(lambda: segment.state.done >= 2, timeout=10000)
        return gates[-1]

    yield begin
    for gate in gates:
        gate.set()
