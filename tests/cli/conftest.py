"""An engine that needs no weights, and small files to give it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cli_helpers import SHAPE, FakeEngine, write_noise


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    fake.install(monkeypatch)
    return fake


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_noise(tmp_path / "image.tif", SHAPE)


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    return write_noise(tmp_path / "stack.tif", (6, *SHAPE), seed=1)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "labels.tif"
