"""``napari-sam2 info``: what is installed here, and how fast it is."""

from __future__ import annotations

import platform
import sys
import time
from importlib import metadata
from statistics import median
from typing import TYPE_CHECKING

import typer

from napari_sam2.commands.models import size_here, state
from napari_sam2.commands.options import Device, Dtype, Model  # noqa: TC001
from sam2_core import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

_PACKAGES = ("napari", "torch", "numpy", "tifffile", "zarr", "dask")
_SIDE = 512  # pixels of the test image


def info(
    model: Model = "sam2_nano", device: Device = "auto", dtype: Dtype = "auto"
) -> None:
    """Show versions, device, models found, and how long an image and a click take."""
    from sam2_core import devices
    from sam2_core.registry import CHECKPOINTS, cache_dir, is_available

    chosen = devices.choose_device(device)
    precision = devices.choose_dtype(dtype, chosen)
    free = devices.free_memory(chosen)
    found = [n for n in CHECKPOINTS if is_available(n)]
    speed = _speed(model, device, dtype)  # before a word: the model may be a mistake

    _say("napari-sam2", __version__)
    _say("python", f"{platform.python_version()} ({sys.executable})")
    _say("platform", platform.platform())
    for package in _PACKAGES:
        _say(package, _version(package))
    _say("device", f"{chosen} ({devices.describe_device(chosen)})")
    _say("free memory", "unknown" if free is None else f"{free / 2**30:.1f} GiB")
    _say("dtype", str(precision).removeprefix("torch."))
    for name in found:
        _say("model", f"{name}, {size_here(name) / 1e6:.1f} MB, {state(name)}")
    if not found:
        _say("model", "none found")
    _say("model folder", str(cache_dir()))
    _say("speed", speed)


def _speed(model: str, device: str, dtype: str) -> str:
    from sam2_core.registry import CHECKPOINTS, is_available

    if model in CHECKPOINTS and not is_available(model):
        return f"not measured, {model} is {state(model)}"
    load, encode, click = measure(model, device, dtype)
    return (
        f"{model}: load {load:.2f} s, encode {encode * 1e3:.0f} ms, click "
        f"{click * 1e3:.0f} ms ({_SIDE} x {_SIDE} pixels)"
    )


def measure(model: str, device: str, dtype: str) -> tuple[float, float, float]:
    """Seconds to load a model, to encode an image and to answer a click.

    The latter two are medians of 3 and 5 runs after a first one.
    """
    import numpy as np
    import torch

    from sam2_core.image import ImagePredictor
    from sam2_core.models import load_model

    image = np.random.default_rng(0).integers(0, 255, (_SIDE, _SIDE, 3), np.uint8)
    # Each click is somewhere else: answers to the same one are remembered.
    columns = iter(np.linspace(0.2, 0.8, 6) * _SIDE)
    begin = time.perf_counter()
    predictor = ImagePredictor(load_model(model, device, dtype))
    load = time.perf_counter() - begin

    def encode() -> None:
        predictor.set_image(image)
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # a GPU may still be working

    def click() -> None:
        point = np.array([[next(columns), _SIDE / 2]])
        predictor.predict(point_coords=point, point_labels=np.array([1]))

    return load, _seconds(encode, runs=3), _seconds(click, runs=5)


def _seconds(work: Callable[[], object], runs: int) -> float:
    """Median over the runs that follow a first one."""
    times = []
    for _ in range(runs + 1):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return median(times[1:])


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _say(name: str, value: str) -> None:
    typer.echo(f"{name + ':':<14}{value}")
