"""A controller on a ViewerModel: no Qt, no torch, the work done on the spot."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from divided import lapse
from fakes import RAMP, STACK, FakeBackend
from keeping import saving
from painting import brush
from search_fakes import FLAT

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["brush", "lapse", "saving"]  # fixtures


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


def heard_with_image(controller: Any, data: Any, **kwargs: Any) -> Any:
    """Note a controller's errors from now on, and let it choose an image."""
    controller.errors = []
    # The signal itself does not keep what it calls.
    controller.kept = controller.errors.append
    controller.tasks.failed.connect(controller.kept)
    if data is not None:
        controller.choose_image(controller.viewer.add_image(data, **kwargs))
    return controller


@pytest.fixture
def tool(backend: FakeBackend) -> Callable[..., Any]:
    """Make a controller with an image; the errors it reports are in ``errors``."""
    from napari.components import ViewerModel

    from napari_sam2._controller import SegmentController
    from napari_sam2._jobs import JobRunner, run_inline
    from napari_sam2._state import SegmentationState
    from napari_sam2.dock._objects import Objects
    from napari_sam2.engine._engine import Engine

    def make(data: Any = None, start: Any = run_inline, **kwargs: Any) -> Any:
        viewer = ViewerModel()
        controller = SegmentController(
            viewer, SegmentationState(), JobRunner(start), Engine(backend)
        )
        controller.objects = Objects(controller)
        return heard_with_image(controller, data, **kwargs)

    return make


@pytest.fixture
def stack(tool: Callable[..., Any]) -> Callable[..., Any]:
    """Make a controller with the tools of a stack."""
    from napari_sam2.dock._stacking import StackTools

    def make(data: Any = STACK, **kwargs: Any) -> Any:
        t = tool(data, **kwargs)
        t.tools = StackTools(t)
        return t

    return make


@pytest.fixture
def kept(tool: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Make a controller that keeps sessions."""
    from napari_sam2.sessions._keeping import SessionKeeper

    def make(data: Any = RAMP, **kwargs: Any) -> Any:
        t = tool(data, **kwargs)
        t.keeper = SessionKeeper(t, tmp_path / "autosaves")
        return t

    return make


@pytest.fixture
def automatic(backend: Any) -> Callable[..., Any]:
    """Make a controller of everything mode with an image, and ``errors`` likewise."""
    from napari.components import ViewerModel

    from napari_sam2._automatic_state import AutomaticState
    from napari_sam2._jobs import JobRunner, run_inline
    from napari_sam2.automatic._automatic import AutomaticController
    from napari_sam2.automatic._search import SearchEngine

    def make(data: Any = FLAT, **kwargs: Any) -> Any:
        viewer = ViewerModel()
        controller = AutomaticController(
            viewer, AutomaticState(), JobRunner(run_inline), SearchEngine(backend)
        )
        return heard_with_image(controller, data, **kwargs)

    return make
