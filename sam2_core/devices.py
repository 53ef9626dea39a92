"""Where the model runs and in which precision: the only place that decides either."""

from __future__ import annotations

import importlib
import os
import platform
from pathlib import Path

import torch

from sam2_core.errors import InferenceError

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def available_devices() -> list[str]:
    """Names of the devices this computer can run the model on, fastest first.

    Returns
    -------
    list of str
        For example ``["cuda", "cpu"]``, with several GPUs ``["cuda:0", "cuda:1",
        "cpu"]``; "cpu" is always the last one.
    """
    names: list[str] = []
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        names = ["cuda"] if count == 1 else [f"cuda:{i}" for i in range(count)]
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]


def choose_device(name: str | torch.device = "auto") -> torch.device:
    """Turn a device name into a device that exists.

    Parameters
    ----------
    name : str or torch.device
        "auto" (a CUDA GPU, else an Apple GPU, else the CPU), "cuda", "cuda:N", "mps"
        or "cpu".

    Returns
    -------
    torch.device
        The device; an index is kept if one was given.

    Raises
    ------
    InferenceError
        If the name is not one of these or this computer has no such device.
    """
    name = str(name).strip().lower()
    available = available_devices()
    if name == "auto":
        return torch.device(available[0])
    kind, _, index = name.partition(":")
    if kind not in {"cuda", "mps", "cpu"} or (index and not index.isdecimal()):
        raise InferenceError(
            f"There is no device called {name!r}: use auto, {', '.join(available)}."
        )
    kinds = {entry.partition(":")[0] for entry in available}
    if kind not in kinds:
        raise InferenceError(
            f"Device {name!r} cannot be used, {_why_missing(kind)}: "
            f"use auto, {', '.join(available)}."
        )
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if index and int(index) >= count:
        raise InferenceError(
            f"Device {name!r} does not exist, the last {kind} device is "
            f"'{kind}:{count - 1}': use auto, {', '.join(available)}."
        )
    return torch.device(name)


def choose_dtype(
    name: str | torch.dtype, device: torch.device | str = "cpu"
) -> torch.dtype:
    """Turn a dtype name into the precision the weights are cast to.

    Parameters
    ----------
    name : str or torch.dtype
        "auto", "float32", "bfloat16" or "float16". "auto" is bfloat16 where the
        device is fast at it and float32 elsewhere. On a CPU float16 works but is slow.
    device : torch.device or str
        Device the model will run on.

    Returns
    -------
    torch.dtype
        One of ``torch.float32``, ``torch.bfloat16``, ``torch.float16``.

    Raises
    ------
    InferenceError
        If there is no such dtype.
    """
    device = torch.device(device)
    name = str(name).removeprefix("torch.").strip().lower()
    if name == "auto":
        return torch.bfloat16 if is_fast_in_bfloat16(device) else torch.float32
    if name not in DTYPES:
        raise InferenceError(
            f"There is no dtype called {name!r}: use auto, {', '.join(DTYPES)}."
        )
    return DTYPES[name]


def is_fast_in_bfloat16(device: torch.device | str) -> bool:
    """Whether the device has hardware for bfloat16 matrix products.

    That is an NVIDIA GPU from compute capability 8.0 on, or an x86 processor with AMX
    or AVX512-BF16; elsewhere bfloat16 is emulated and slower than float32.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        return bool(torch.backends.mkldnn.enabled) and _cpu_has_bfloat16()
    return False


def describe_device(device: torch.device | str) -> str:
    """One line for people: kind, product name and size of the device.

    Returns
    -------
    str
        For example "CPU: AMD EPYC 7763, 8 threads" or
        "CUDA GPU: NVIDIA RTX A5000, 23.7 GiB".
    """
    device = torch.device(device)
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"CUDA GPU: {properties.name}, {properties.total_memory / 2**30:.1f} GiB"
    if device.type == "mps":
        return f"Apple GPU (Metal): {_processor_name()}"
    threads = torch.get_num_threads()
    return f"CPU: {_processor_name()}, {threads} thread{'s' if threads > 1 else ''}"


def free_memory(device: torch.device | str) -> int | None:
    """Bytes the device can still give to this process, None where nobody knows.

    For the CPU this respects the limit of the container the process runs in.
    """
    device = torch.device(device)
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        limit = torch.mps.recommended_max_memory()
        return max(0, int(limit - torch.mps.driver_allocated_memory()))
    known = [size for size in (_free_in_system(), _free_in_container()) if size]
    return min(known, default=None)


def _why_missing(kind: str) -> str:
    if kind == "mps":
        return "Apple GPUs need a Mac with Apple silicon"
    if torch.version.cuda is None:
        return "the installed PyTorch is a build without CUDA"
    return "PyTorch finds no NVIDIA GPU or its driver is too old"


def _cpu_has_bfloat16() -> bool:
    # The two questions are private in torch, so they may vanish: then ask Linux.
    answers = [
        bool(question())
        for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        if callable(question := getattr(torch.cpu, name, None))
    ]
    if answers:
        return any(answers)
    return bool({"amx_tile", "avx512_bf16"} & set(_cpuinfo("flags").split()))


def _processor_name() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(field: str) -> str:
    """First value of a field of /proc/cpuinfo, "" where there is none."""
    return _proc_fields(Path("/proc/cpuinfo")).get(field, "")


def _free_in_system() -> int | None:
    kilobytes = _proc_fields(Path("/proc/meminfo")).get("MemAvailable", "").split()
    if kilobytes:
        return int(kilobytes[0]) * 1024
    try:  # not Linux; napari brings psutil
        return int(importlib.import_module("psutil").virtual_memory().available)
    except ImportError:
        return None


def _free_in_container(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes left under the memory limit of a version 2 control group."""
    try:
        limit = int((root / "memory.max").read_text())
        used = int((root / "memory.current").read_text())
        lines = (root / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):  # no limit ("max") or no such control group
        return None
    reclaimable = sum(int(x.split()[1]) for x in lines if x.startswith("inactive_file"))
    return max(0, limit - used + reclaimable)


def _proc_fields(path: Path) -> dict[str, str]:
    """``name: value`` lines of a file of /proc; the first of equal names counts."""
    fields: dict[str, str] = {}
    if os.name == "posix" and path.exists():
        for line in path.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
    return fields
