"""From a name or a file to a network that is ready to run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from sam2_core.compiling import compile_parts
from sam2_core.config import VARIANTS, ModelConfig
from sam2_core.devices import choose_device, choose_dtype
from sam2_core.errors import CheckpointError, InferenceError
from sam2_core.nn.sam2 import Sam2
from sam2_core.presets import with_image_size
from sam2_core.recognition import brought_up_to_date, check_fit, recognise
from sam2_core.registry import find_checkpoint, is_available, model_path
from sam2_core.verification import verify_once
from sam2_core.weights import read_state_dict, read_variant

if TYPE_CHECKING:
    from collections.abc import Callable

_SUFFIXES = {".pt", ".pth", ".safetensors", ".bin", ".ckpt"}


def build_model(name: str) -> Sam2:
    """A network with fresh random weights, on the CPU, in float32, in training mode.

    Parameters
    ----------
    name : str
        One of :func:`sam2_core.list_models`.

    Returns
    -------
    Sam2
        The network; its state-dict keys are the official ones.

    Raises
    ------
    CheckpointError
        If there is no such model; the message lists the names.
    """
    find_checkpoint(name)
    return Sam2(VARIANTS[name])


def load_model(
    name_or_path: str | os.PathLike[str],
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    image_size: int | None = None,
    compile: bool = False,
) -> Sam2:
    """A trained network, ready to predict. Nothing is ever downloaded here.

    Parameters
    ----------
    name_or_path : str or path-like
        One of :func:`sam2_core.list_models`, or a ``.pt`` or ``.safetensors`` file
        whose variant is told from its tensors.
    device : str or torch.device
        "auto", "cuda", "cuda:N", "mps" or "cpu".
    dtype : str or torch.dtype
        "auto" (bfloat16 where the device is fast at it, else float32), "float32",
        "bfloat16" or "float16". Parameters are cast to it once; the one buffer, the
        matrix that codes positions, stays in float32. In bfloat16 the masks of the
        bundled model keep a mean IoU of 0.998 with those in float32 (lowest 0.990);
        ``docs/design.md`` says how that was measured.
    image_size : int, optional
        Side of the square, in pixels, that images are resized to, a multiple of 32; as
        trained by default (1024 for SAM 2). Smaller is faster and coarser.
    compile : bool
        Run the expensive parts through ``torch.compile``. The first images take seconds
        to minutes longer; what the compiler makes is compared with the plain code, and
        where it is missing, fails or differs, the plain code runs, after a warning.

    Returns
    -------
    Sam2
        In evaluation mode, parameters without gradient.

    Raises
    ------
    CheckpointError
        If the file is missing, broken, foreign, does not fit the network, or holds
        numbers that are not finite; or if this is neither a name nor a path.
    InferenceError
        If the device or dtype is not available, or its memory is too small.
    PromptError
        If ``image_size`` is no multiple of 32.
    """
    target = choose_device(device)
    precision = choose_dtype(dtype, target)
    path, variant = _find(name_or_path)
    state_dict = read_state_dict(path)
    try:
        config = recognise(state_dict, variant or read_variant(path))
        model = _assemble(config, state_dict, target, precision)
        if image_size is not None:
            model = with_image_size(model, image_size)
    except CheckpointError as error:
        raise CheckpointError(f"{path} cannot be loaded: {error}") from error
    except torch.OutOfMemoryError as error:
        raise InferenceError(
            f"{path} does not fit into the free memory of {target}: close other "
            "programs, choose a smaller model, or the device cpu."
        ) from error
    model = model.eval().requires_grad_(False)
    if compile:
        compile_parts(model)
    return model


def _find(name_or_path: str | os.PathLike[str]) -> tuple[Path, str | None]:
    """The file to read, and the variant it must hold if it was asked for by name."""
    if not isinstance(name_or_path, str | os.PathLike):
        raise CheckpointError(
            f"A model is given by its name or the path of its file, not by a "
            f"{type(name_or_path).__name__}."
        )
    name = os.fspath(name_or_path)
    if name in VARIANTS:
        _require_file(name)
        verify_once(name)
        return model_path(name), name
    if not name:
        raise CheckpointError(
            "The name of the model is empty: give a name or a weight file."
        )
    path = Path(os.path.expanduser(name))
    if path.suffix not in _SUFFIXES and path.name == name and not os.path.exists(path):
        find_checkpoint(name)  # raises: neither a file nor a model
    return path, None


def _require_file(name: str) -> None:
    if is_available(name):
        return
    checkpoint, path = find_checkpoint(name), model_path(name)
    if checkpoint.is_bundled:
        raise CheckpointError(
            f"The weights of {name} are missing from this installation ({path}): "
            "install napari-sam2 again."
        )
    state = "are not here yet"
    if path.exists():
        size = path.stat().st_size
        state = f"are incomplete ({size:,} of {checkpoint.bytes:,} bytes)"
    raise CheckpointError(
        f"The weights of {name} {state}: run `napari-sam2 models download {name}`, "
        f"or drop {checkpoint.file} into {path.parent}."
    )


class _WithoutInit(TorchFunctionMode):
    """Leaves new parameters unfilled: random weights take seconds, even on "meta"."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Any = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def _assemble(
    config: ModelConfig,
    state_dict: dict[str, Tensor],
    device: torch.device,
    dtype: torch.dtype,
) -> Sam2:
    with torch.device("meta"), _WithoutInit():
        model = Sam2(config)
    shapes = {key: tuple(t.shape) for key, t in model.state_dict().items()}
    if config.closeups:
        state_dict = brought_up_to_date(state_dict, shapes)
    check_fit(state_dict, shapes, config.name)
    buffers = {name for name, _ in model.named_buffers()}
    placed = {
        # A copy even where nothing changes: the tensors read are mapped from the file.
        key: tensor.to(device, torch.float32 if key in buffers else dtype, copy=True)
        for key, tensor in state_dict.items()
    }
    # Sums, since what is not finite stays so in them; all are fetched at once.
    sums = [tensor.sum(dtype=torch.float32) for tensor in placed.values()]
    if not torch.stack(sums).isfinite().all():
        raise CheckpointError(
            f"it holds numbers that are not finite in {dtype}: fetch it again, or "
            "choose a wider dtype."
        )
    model.load_state_dict(placed, strict=True, assign=True)
    for part in (model.closeup, model.guide, model.prompt_hints):
        if part is not None:  # else every call would turn the weights to this layout
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model
