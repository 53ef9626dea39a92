"""Weight files: read one without trusting it, write one in one step."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import secrets
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from sam2_core.errors import CheckpointError
from sam2_core.recognition import ANCHOR, check_fit, recognise
from sam2_core.registry import (
    CHECKPOINTS,
    Checkpoint,
    cache_dir,
    find_checkpoint,
    is_available,
    model_path,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import torch
    from torch import Tensor

__all__ = [
    "CHECKPOINTS",
    "Checkpoint",
    "cache_dir",
    "check_fit",
    "find_checkpoint",
    "is_available",
    "model_path",
    "read_state_dict",
    "read_variant",
    "recognise",
    "replace_file",
    "save_state_dict",
    "save_weights",
]

_WRAPPERS = ("model", "state_dict", "model_state_dict", "model_state")


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read a weight file without running any code that may be in it.

    Parameters
    ----------
    path : path-like
        A ``.pt``/``.pth`` file (a bare state dict or one wrapped as ``{"model": ...}``)
        or a ``.safetensors`` file. The kind is told from the content.

    Returns
    -------
    dict of str to Tensor
        Tensors on the CPU in the precision of the file, usually mapped from it, so
        copy what must outlive the file. A prefix shared by all keys ("module.") is
        removed.

    Raises
    ------
    CheckpointError
        If the file is missing, broken, or not a weight file; the message says what it
        is instead.
    """
    path = Path(path)
    kind = _kind_of_file(path)
    if kind == "safetensors":
        state_dict = _read_safetensors(path)
    elif kind == "torch":
        state_dict = _read_torch(path)
    else:
        raise CheckpointError(f"{path} is not a weight file but {kind}.")
    return _without_shared_prefix(state_dict)


def read_variant(path: str | os.PathLike[str]) -> str | None:
    """Variant a safetensors file names in its metadata, None if it names none."""
    return _read_metadata(Path(path)).get("variant")


def save_state_dict(
    path: str | os.PathLike[str],
    state_dict: Mapping[str, Tensor],
    variant: str,
    dtype: torch.dtype | None = None,
    keep: Iterable[str] = (),
) -> Path:
    """Write tensors as safetensors: complete under its name, or not at all.

    Parameters
    ----------
    path : path-like
        File to write or replace; its folder is created.
    state_dict : mapping of str to Tensor
        Tensors on any device.
    variant : str
        Model name, stored in the file and checked when it is loaded.
    dtype : torch.dtype, optional
        Cast floating-point tensors to it; default: leave them as they are.
    keep : iterable of str
        Keys that are never cast.

    Raises
    ------
    CheckpointError
        If a value is not finite (in ``dtype``) or the file cannot be written.
    """
    import torch
    from safetensors.torch import save

    path, keep = Path(path), set(keep)
    tensors = {}
    for key, tensor in state_dict.items():
        cast = dtype is not None and tensor.is_floating_point() and key not in keep
        value = tensor.detach().to("cpu", dtype if cast else tensor.dtype)
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(
                f"{key} holds values that are not finite as {value.dtype}, so {path} "
                "was not written: choose a wider dtype or an earlier training state."
            )
        tensors[key] = value.contiguous().clone()
    metadata = {"format": "pt", "variant": variant, "digest": _digest(tensors)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, save(tensors, metadata=metadata))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written ({error}).") from error
    return path


def save_weights(
    path: str | os.PathLike[str],
    model: torch.nn.Module,
    dtype: torch.dtype | None = None,
) -> Path:
    """Write a model's weights as safetensors that :func:`load_model` can read.

    Parameters
    ----------
    path : path-like
        File to write or replace.
    model : Sam2
        Any module with a ``config``; its name is stored in the file.
    dtype : torch.dtype, optional
        Precision of the parameters, default float16; buffers keep their own.
    """
    import torch

    buffers = [name for name, _ in model.named_buffers()]
    variant = str(getattr(model.config, "name", ""))
    dtype = dtype or torch.float16
    return save_state_dict(path, model.state_dict(), variant, dtype, keep=buffers)


def replace_file(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path`` and move it there in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _kind_of_file(path: Path) -> str:
    """Return "torch", "safetensors" or words for what the file is instead."""
    try:
        if path.is_dir():
            raise CheckpointError(
                f"{path} is a folder: give the weight file inside it."
            )
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(512)
    except FileNotFoundError:
        raise CheckpointError(f"There is no file {path}.") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error}).") from error
    if not head:
        return "an empty file: fetch it again"
    if head.startswith(b"PK"):
        if not zipfile.is_zipfile(path):
            return (
                f"the first {size:,} bytes of one, the rest is missing: fetch it again"
            )
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        return (
            "torch" if any(n.endswith("data.pkl") for n in names) else "a zip archive"
        )
    header = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and header < 100_000_000:
        whole = 8 + header <= size
        if whole:
            return "safetensors"
        return f"the first {size:,} bytes of one, the rest is missing: fetch it again"
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return (
            "a web page (an error or login page saved under its name): fetch it again"
        )
    for start, kind in (
        (b"version https://git-lfs", "a Git LFS pointer: fetch the real file"),
        (b"\x89hdf", "an HDF5 file"),
        (b"\x1f\x8b", "a gzip archive: unpack it first"),
    ):
        if text.startswith(start):
            return kind
    # The format of torch before 1.6, and plain pickles, which torch.load refuses.
    return "torch" if head[0] == 0x80 else "something else (it has no known header)"


def _read_torch(path: Path) -> dict[str, Tensor]:
    import torch

    try:
        content = torch.load(
            path,
            map_location="cpu",
            weights_only=True,
            mmap=True if zipfile.is_zipfile(path) else None,
        )
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f" (such as {found[1]})" if found else ""
        raise CheckpointError(
            f"{path} holds Python objects{what} beside tensors and is not loaded, "
            "since they could run code: save its state_dict alone and load that."
        ) from error
    except (
        *(RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError),
        *(OSError, ImportError, AssertionError),
    ) as error:
        raise CheckpointError(
            f"{path} is a broken PyTorch file or not one at all: fetch it again."
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__} where a state dict is needed."
        )
    foreign = [k for k, value in content.items() if not isinstance(value, torch.Tensor)]
    if foreign or not content:
        found_keys = ", ".join(map(str, list(content)[:3])) or "nothing"
        raise CheckpointError(
            f"{path} holds no state dict of tensors but {found_keys} ...: save the "
            'model\'s state_dict, bare or as {"model": state_dict}.'
        )
    return {str(key): value for key, value in content.items()}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        raise CheckpointError(
            f"{path} is a broken safetensors file ({error}): fetch it again."
        ) from error
    digest = _read_metadata(path).get("digest")
    if digest and digest != _digest(tensors):
        raise CheckpointError(
            f"{path} is damaged, its tensors do not match the digest stored with them: "
            "fetch it again."
        )
    return tensors


def _read_metadata(path: Path) -> dict[str, str]:
    """The ``__metadata__`` of a safetensors file, empty for any other file."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length < 100_000_000 else {}
        metadata = header.get("__metadata__", {})
    except (OSError, ValueError, AttributeError):
        return {}
    return metadata if isinstance(metadata, dict) else {}


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over keys, shapes, dtypes and bytes, in key order."""
    import torch

    digest = hashlib.sha256()
    for key in sorted(tensors):
        tensor = tensors[key].contiguous()
        digest.update(f"{key} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _without_shared_prefix(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    prefix = next((k[: -len(ANCHOR)] for k in state_dict if k.endswith(ANCHOR)), "")
    if prefix and all(key.startswith(prefix) for key in state_dict):
        return {key.removeprefix(prefix): value for key, value in state_dict.items()}
    return state_dict
