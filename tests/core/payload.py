"""Bytes that stand for a checkpoint."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sam2_core import registry

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

NAME = "sam2.1_hiera_tiny"
PAYLOAD = np.random.default_rng(0).bytes(4 * 2**20 + 12_345)
FOREIGN = bytes(len(PAYLOAD))


def cache_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, not made yet, and a registry whose tiny model is the payload."""
    monkeypatch.setenv("NAPARI_SAM2_HOME", str(tmp_path / "models"))
    entry = replace(
        registry.CHECKPOINTS[NAME],
        bytes=len(PAYLOAD),
        sha256=hashlib.sha256(PAYLOAD).hexdigest(),
    )
    monkeypatch.setitem(registry.CHECKPOINTS, NAME, entry)
    return tmp_path / "models"
