"""Preferences on napari's own page: folders."""

from __future__ import annotations

from pathlib import Path

import npe2
import numpy as np
import pytest
from napari.settings import get_plugin_settings

import napari_sam2
from napari_sam2._settings import Settings, load_settings, writable_folder
from napari_sam2.sessions._autosaves import autosave_folder
from napari_sam2.sessions._keeping import SessionKeeper
from sam2_core import Sam2Error, registry

STACK = np.arange(5 * 40 * 60, dtype=np.uint16).reshape(5, 40, 60)


@pytest.fixture
def page(plugin_settings, npe2pm):
    """The plugin's page under Preferences."""
    path = Path(napari_sam2.__file__).parent / "napari.yaml"
    npe2pm.register(npe2.PluginManifest.from_file(path))
    return get_plugin_settings("napari-sam2").segment


@pytest.fixture(autouse=True)
def _usual_folder():
    yield
    registry.choose_cache_dir("")


def test_folders_are_preferences(page, tmp_path):
    assert load_settings() == Settings()
    page.model_folder, page.session_folder = str(tmp_path / "m"), str(tmp_path / "s")
    settings = load_settings()
    assert settings.model_folder == str(tmp_path / "m")
    assert settings.session_folder == str(tmp_path / "s")


def test_models_go_where_the_user_wants_and_unsaved_work_does_not(
    monkeypatch, tmp_path
):
    monkeypatch.delenv("NAPARI_SAM2_HOME")
    usual, sessions = registry.cache_dir(), autosave_folder()
    registry.choose_cache_dir(str(tmp_path))
    file = registry.model_path("sam2_hiera_tiny")
    assert file == tmp_path / "sam2_hiera_tiny.pt"
    assert autosave_folder() == sessions
    registry.choose_cache_dir("~/models")
    assert registry.cache_dir() == Path.home() / "models"
    monkeypatch.setenv("NAPARI_SAM2_HOME", str(tmp_path / "admin"))
    assert registry.cache_dir() == tmp_path / "admin"
    monkeypatch.delenv("NAPARI_SAM2_HOME")
    registry.choose_cache_dir("")
    assert registry.cache_dir() == usual


def test_a_folder_is_made_and_one_that_cannot_be_written_to_is_said(tmp_path):
    assert writable_folder(" ") is None
    folder = tmp_path / "a" / "b"
    assert writable_folder(f" {folder} ") == folder
    assert list(folder.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(Sam2Error, match="choose another folder for unsaved work"):
        writable_folder(str(tmp_path / "file" / "c"))


def test_unsaved_work_in_the_former_folder_is_still_offered(tool, tmp_path):
    t = tool(STACK)
    keeper = SessionKeeper(t, tmp_path / "former")
    t.add_point((3, 10, 20))
    keeper._autosave.close()
    other = SessionKeeper(tool(STACK), tmp_path / "new", earlier=tmp_path / "former")
    assert other.offer.session.prompt_count == 1
    assert SessionKeeper(tool(STACK), tmp_path / "new").offer is None
