"""The dock widget with a fake model, and helpers to drive a real window."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.utils.notifications import notification_manager

sys.path.insert(0, str(Path(__file__).parents[1] / "plugin"))
sys.path.insert(0, str(Path(__file__).parent))

from fakes import FakeBackend

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, backend: FakeBackend) -> FakeBackend:
    """Let the installed plugin use the fake model."""
    from napari_sam2._backend import Sam2Backend

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
