"""An engine that needs no weights, and small files to give it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

sys.path.insert(0, str(Path(__file__).parent))

from cli_helpers import SHAPE, FakeEngine


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    fake.install(monkeypatch)
    return fake


@pytest.fixture
def image(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).integers(100, 4000, SHAPE, np.uint16)
    tifffile.imwrite(tmp_path / "image.tif", values)
    return tmp_path / "image.tif"


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    values = np.random.default_rng(1).integers(100, 4000, (6, *SHAPE), np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", values, photometric="minisblack")
    return tmp_path / "stack.tif"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "labels.tif"
