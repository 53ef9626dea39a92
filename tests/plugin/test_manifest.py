from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
from npe2 import PluginManifest

import napari_sam2
from napari_sam2 import _sample_data
from napari_sam2.dock._keys import SHORTCUTS, keys_page
from sam2_core import list_models

MANIFEST = Path(napari_sam2.__file__).parent / "napari.yaml"


def test_manifest_is_valid_and_every_command_exists():
    manifest = PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    assert manifest.name == "napari-sam2"
    names = {widget.display_name for widget in manifest.contributions.widgets}
    assert names == {"Segment", "Automatic"}
    assert "napari/layers/segment" in manifest.contributions.menus
    assert [r.command for r in manifest.contributions.readers] == [
        "napari-sam2.read_session"
    ]
    extensions = [w.filename_extensions for w in manifest.contributions.writers]
    assert extensions == [[".json"], [".csv"]]


def test_preferences_offer_every_model():
    content = yaml.safe_load(MANIFEST.read_text())
    page = content["contributions"]["configurations"]["segment"]["properties"]
    assert page["model"]["enum"] == list_models()


def test_importing_the_plugin_loads_neither_torch_nor_qt():
    code = (
        "import sys, napari_sam2, napari_sam2._sample_data;"
        "heavy = {'torch', 'qtpy', 'napari', 'PyQt6', 'skimage'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_everything_but_the_widgets_does_without_qt_and_torch():
    code = (
        "import sys, napari_sam2._controller, napari_sam2.engine._backend;"
        "heavy = {'torch', 'qtpy', 'PyQt6', 'PySide6'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_samples():
    ((cells, _, kind),) = _sample_data.sample_cells()
    assert (cells.ndim, cells.dtype, kind) == (2, np.uint8, "image")
    ((nuclei, place, kind),) = _sample_data.sample_nuclei()
    assert nuclei.shape == (40, 256, 256)
    assert len(place["scale"]) == len(place["units"]) == 3
    size = sum(path.stat().st_size for path in _sample_data.SAMPLES.iterdir())
    assert size < 3e6


def test_shortcuts_are_distinct():
    keys = [shortcut.key for shortcut in SHORTCUTS.values()]
    assert len(set(keys)) == len(keys)


def test_page_of_keys_is_that_of_the_table():
    page = Path(__file__).parents[2] / "docs" / "keys.md"
    assert page.read_text(encoding="utf-8") == keys_page()
