"""Telling whether a weight file is the one its name promises."""

from __future__ import annotations

import contextlib
import hashlib
import json
from typing import TYPE_CHECKING, Any

from sam2_core.errors import CheckpointError
from sam2_core.registry import Checkpoint, cache_dir, find_checkpoint, model_path
from sam2_core.weights import read_state_dict, replace_file

if TYPE_CHECKING:
    from pathlib import Path

_VERIFIED = ".verified.json"  # which files were hashed, so that loading need not


def verify(name: str) -> None:
    """Check that the weight file of a model is complete and unchanged.

    Parameters
    ----------
    name : str
        One of :func:`sam2_core.list_models`.

    Raises
    ------
    CheckpointError
        If the file is missing, of wrong size, or its SHA-256 is not the official one
        (for the bundled model: the digest stored in it).
    """
    checkpoint, path = find_checkpoint(name), model_path(name)
    if checkpoint.is_bundled:
        read_state_dict(path)
        return
    if not path.is_file():
        raise CheckpointError(
            f"{path} is not there: run `napari-sam2 models download {name}`, "
            f"or drop {checkpoint.file} into {path.parent}."
        )
    size = path.stat().st_size
    remedy = (
        f"delete it and run `napari-sam2 models download {name}`, "
        "or, if it is a model of your own, load it by its path from another folder."
    )
    if size != checkpoint.bytes:
        raise CheckpointError(
            f"{path} is not the official file, it has {size:,} bytes instead of "
            f"{checkpoint.bytes:,}: {remedy}"
        )
    if file_sha256(path) != checkpoint.sha256:
        raise CheckpointError(
            f"{path} is not the official file, its SHA-256 differs: {remedy}"
        )
    remember_verified(checkpoint, path)


def verify_once(name: str) -> None:
    """As :func:`verify`, but trust an earlier check if the file has not changed."""
    checkpoint, path = find_checkpoint(name), model_path(name)
    if checkpoint.is_bundled or not path.is_file():
        return  # a bundled file checks itself when read
    if _read_verified().get(checkpoint.file) != _stamp(checkpoint, path):
        verify(name)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stamp(checkpoint: Checkpoint, path: Path) -> list[Any]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, checkpoint.sha256]


def _read_verified() -> dict[str, Any]:
    try:
        known = json.loads((cache_dir() / _VERIFIED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def remember_verified(checkpoint: Checkpoint, path: Path) -> None:
    """Note that a file as it is now has the right hash."""
    known = {**_read_verified(), checkpoint.file: _stamp(checkpoint, path)}
    with contextlib.suppress(OSError):  # a shared folder may be read-only
        replace_file(cache_dir() / _VERIFIED, json.dumps(known).encode())
