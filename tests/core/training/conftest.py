"""Fixtures of the tests of training."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003

import numpy as np
import pytest
import tifffile
from disc_answers import (
    disc_labels,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sets of 2D images, a z-stack and a time-lapse; one file has no labels."""
    labels = disc_labels()
    image = (labels > 0).astype(np.uint16) * 3000 + 100
    for name in ("discs", "more"):
        (tmp_path / "2d" / name).mkdir(parents=True)
        for k in range(2):
            tifffile.imwrite(tmp_path / f"2d/{name}/000{k}_img.tif", image)
            tifffile.imwrite(tmp_path / f"2d/{name}/000{k}_lab.tif", labels)
    tifffile.imwrite(tmp_path / "2d/more/0009_img.tif", image)
    (tmp_path / "stack").mkdir()
    stack = np.stack([labels] * 7)
    stack[5:][stack[5:] == 2] = 0  # frames 0 to 4
    stack[:1][stack[:1] == 1] = 0  # frames 1 to 6
    stack[1:][stack[1:] == 5] = 0  # frame 0 only: nothing to follow
    for name in ("cells", "film"):
        tifffile.imwrite(tmp_path / f"stack/{name}_img.tif", (stack > 0) * np.uint8(9))
        tifffile.imwrite(tmp_path / f"stack/{name}_lab.tif", stack)
    entries = [
        {
            "name": "cells",
            "set": "c",
            "kind": "z",
            "axes": "ZYX",
            "eval_ids": [1, 2, 5],
        },
        {"name": "film", "set": "f", "kind": "t", "axes": "TYX", "eval_ids": [2]},
    ]
    (tmp_path / "manifest.json").write_text(json.dumps({"entries": entries}))
    return tmp_path
