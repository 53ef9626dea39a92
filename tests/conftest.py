"""What every test relies on: no screen needed, few threads, the user's files untouched.

Nothing here imports torch, Qt or napari unless a test asks for them.
"""

from __future__ import annotations

import os
import shutil
import sys
from types import SimpleNamespace

import pytest

_VIEWER_FIXTURES = {"make_napari_viewer", "make_napari_viewer_proxy"}


def _has_display() -> bool:
    """Whether windows can be drawn; pytest-xvfb starts Xvfb if that is installed."""
    if not sys.platform.startswith("linux"):
        return True
    if os.environ.get("QT_QPA_PLATFORM") == "offscreen":
        return False
    return bool(os.environ.get("DISPLAY") or shutil.which("Xvfb"))


HAS_DISPLAY = _has_display()

# Set before anything is imported: all of these are read at import time.
os.environ.setdefault("OMP_NUM_THREADS", str(min(2, os.cpu_count() or 1)))
os.environ.setdefault("NAPARI_ENSURE_PLUGIN_MAIN_THREAD", "1")
os.environ["NAPARI_CONFIG"] = ""  # neither read nor write the user's settings
if not HAS_DISPLAY:
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what must be drawn on a screen where there is none."""
    if HAS_DISPLAY:
        return
    no_display = pytest.mark.skip(reason="no display and no Xvfb")
    for item in items:
        if "display" in item.keywords:
            item.add_marker(no_display)


@pytest.fixture(autouse=True)
def _own_home(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Keep the tests away from the user's checkpoints, except those that need one.

    And from each other's unsaved work.
    """
    if request.node.get_closest_marker("checkpoint") is None:
        home = tmp_path_factory.mktemp("napari-sam2-home")
        monkeypatch.setenv("NAPARI_SAM2_HOME", str(home))


@pytest.fixture(autouse=True)
def _clean_themes() -> None:
    """Replace napari's fixture of this name, which imports napari for every test."""


@pytest.fixture(autouse=True)
def _disable_qt_warnings(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replace napari's fixture of this name, which imports Qt for every test."""
    if not _VIEWER_FIXTURES.isdisjoint(request.fixturenames):
        from napari._qt import qt_main_window

        monkeypatch.setattr(qt_main_window, "SHOW_QT_WARNING", False)


@pytest.fixture(autouse=True)
def _viewer_without_gl(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let a viewer hold layers where there is no OpenGL at all (nothing is drawn)."""
    if HAS_DISPLAY or _VIEWER_FIXTURES.isdisjoint(request.fixturenames):
        return
    import napari._vispy.utils.gl as napari_gl

    values = {"extensions": "texture_float", "max size": 4096}
    fake = SimpleNamespace(
        GL_EXTENSIONS="extensions",
        GL_MAX_TEXTURE_SIZE="max size",
        glGetParameter=lambda name: values.get(name, 2048),
    )
    monkeypatch.setattr(napari_gl, "gl", fake)
    napari_gl.get_gl_extensions.cache_clear()
    napari_gl.get_max_texture_sizes.cache_clear()
