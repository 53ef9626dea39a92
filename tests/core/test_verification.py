"""Checkpoints are what they should be, told from size and hash."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import numpy as np
import pytest

from sam2_core import registry, verification
from sam2_core.errors import CheckpointError
from sam2_core.verification import verify

NAME = "sam2.1_hiera_tiny"
PAYLOAD = np.random.default_rng(0).bytes(4 * 2**20 + 12_345)
FOREIGN = bytes(len(PAYLOAD))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache, and a registry whose tiny model is the payload."""
    monkeypatch.setenv("NAPARI_SAM2_HOME", str(tmp_path / "models"))
    entry = replace(
        registry.CHECKPOINTS[NAME],
        bytes=len(PAYLOAD),
        sha256=hashlib.sha256(PAYLOAD).hexdigest(),
    )
    monkeypatch.setitem(registry.CHECKPOINTS, NAME, entry)
    return tmp_path / "models"


def test_verify_names_what_is_wrong(folder):
    with pytest.raises(CheckpointError, match="models download"):
        verify(NAME)
    folder.mkdir()
    (folder / f"{NAME}.pt").write_bytes(PAYLOAD[:-1])
    with pytest.raises(CheckpointError, match="4,206,648 bytes instead of 4,206,649"):
        verify(NAME)
    (folder / f"{NAME}.pt").write_bytes(FOREIGN)
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        verify(NAME)
    (folder / f"{NAME}.pt").write_bytes(PAYLOAD)
    verify(NAME)


def test_file_is_hashed_once_until_it_changes(folder, monkeypatch):
    folder.mkdir()
    path = folder / f"{NAME}.pt"
    path.write_bytes(PAYLOAD)
    hashed = []
    real = verification.file_sha256
    monkeypatch.setattr(
        verification, "file_sha256", lambda p: hashed.append(p) or real(p)
    )
    verification.verify_once(NAME)
    verification.verify_once(NAME)
    assert hashed == [path]
    path.write_bytes(FOREIGN)
    os.utime(path, ns=(1, 1))
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        verification.verify_once(NAME)
