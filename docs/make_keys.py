"""Writes keys.md from the plugin's table of keys."""

from __future__ import annotations

from pathlib import Path

from napari_sam2.dock._keys import keys_page

if __name__ == "__main__":
    Path(__file__).with_name("keys.md").write_text(keys_page(), encoding="utf-8")
