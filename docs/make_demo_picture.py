"""Make docs/images/demo.png, the picture of the README: the demo without a window."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from napari_sam2.demo import run_headless

TARGET = Path(__file__).parent / "images" / "demo.png"

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        run_headless(Path(folder), "sam2_nano", "cpu", "float32", say=print)
        shutil.copy(Path(folder) / "demo.png", TARGET)
    print(TARGET)
