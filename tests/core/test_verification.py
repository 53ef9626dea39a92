"""Checkpoints are what they should be, told from size and hash."""

from __future__ import annotations

import os

import pytest
from payload import FOREIGN, NAME, PAYLOAD, cache_of

from sam2_core import verification
from sam2_core.errors import CheckpointError
from sam2_core.verification import verify


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache, and a registry whose tiny model is the payload."""
    return cache_of(tmp_path, monkeypatch)


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
