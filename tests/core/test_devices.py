from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from sam2_core import devices
from sam2_core.errors import InferenceError


def computer(
    monkeypatch: pytest.MonkeyPatch,
    *,
    gpus: int = 0,
    mps: bool = False,
    capability: tuple[int, int] = (8, 0),
) -> None:
    """Pretend to run on a computer with these devices."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


def cpu_with(monkeypatch: pytest.MonkeyPatch, *, amx: bool, bf16: bool) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", True, raising=False)
    monkeypatch.setattr(
        torch,
        "cpu",
        SimpleNamespace(
            _is_amx_tile_supported=lambda: amx,
            _is_avx512_bf16_supported=lambda: bf16,
        ),
    )


@pytest.mark.parametrize(
    ("gpus", "mps", "listed", "chosen"),
    [
        (0, False, ["cpu"], "cpu"),
        (0, True, ["mps", "cpu"], "mps"),
        (1, False, ["cuda", "cpu"], "cuda"),
        (2, True, ["cuda:0", "cuda:1", "mps", "cpu"], "cuda:0"),
    ],
)
def test_auto_takes_the_fastest_device(monkeypatch, gpus, mps, listed, chosen):
    computer(monkeypatch, gpus=gpus, mps=mps)
    assert devices.available_devices() == listed
    assert devices.choose_device("auto") == torch.device(chosen)


def test_explicit_device_is_kept(monkeypatch):
    computer(monkeypatch, gpus=2, mps=True)
    assert devices.choose_device("cpu") == torch.device("cpu")
    assert devices.choose_device("cuda:1") == torch.device("cuda:1")
    assert devices.choose_device("CUDA") == torch.device("cuda")
    assert devices.choose_device("mps") == torch.device("mps")
    assert devices.choose_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize(
    "name", ["cuda", "cuda:1", "mps", "gpu", "", "cpu:x", "cpu:1", "tpu:0"]
)
def test_absent_device_is_refused_with_the_choices(monkeypatch, name):
    computer(monkeypatch)
    with pytest.raises(InferenceError, match="use auto, cpu"):
        devices.choose_device(name)


def test_gpu_index_out_of_range_is_refused(monkeypatch):
    computer(monkeypatch, gpus=2)
    with pytest.raises(InferenceError, match="last cuda device is 'cuda:1'"):
        devices.choose_device("cuda:2")


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [((7, 5), torch.float32), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)],
)
def test_auto_dtype_on_cuda_follows_capability(monkeypatch, capability, dtype):
    computer(monkeypatch, gpus=1, capability=capability)
    assert devices.choose_dtype("auto", torch.device("cuda")) == dtype


@pytest.mark.parametrize(
    ("amx", "bf16", "dtype"),
    [
        (False, False, torch.float32),
        (True, False, torch.bfloat16),
        (False, True, torch.bfloat16),
    ],
)
def test_auto_dtype_on_cpu_follows_its_matrix_hardware(monkeypatch, amx, bf16, dtype):
    cpu_with(monkeypatch, amx=amx, bf16=bf16)
    assert devices.choose_dtype("auto", "cpu") == dtype


@pytest.mark.parametrize(
    ("flags", "fast"),
    [
        ("fpu avx2 avx512_bf16", True),
        ("fpu amx_tile", True),
        ("fpu avx2 avx512f", False),
    ],
)
def test_cpu_flags_are_read_where_torch_cannot_say(monkeypatch, tmp_path, flags, fast):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nmodel name\t: Test CPU\nflags\t\t: {flags}\n")
    monkeypatch.setattr(devices, "Path", lambda _: cpuinfo)
    monkeypatch.setattr(torch, "cpu", SimpleNamespace())
    assert devices.is_fast_in_bfloat16("cpu") is fast
    assert "Test CPU" in devices.describe_device("cpu")


def test_bfloat16_is_not_fast_without_mkldnn(monkeypatch):
    cpu_with(monkeypatch, amx=True, bf16=True)
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False, raising=False)
    assert devices.choose_dtype("auto", "cpu") == torch.float32


def test_auto_dtype_on_apple_gpu_is_float32():
    assert devices.choose_dtype("auto", "mps") == torch.float32


def test_named_dtypes():
    assert devices.choose_dtype("float32") == torch.float32
    assert devices.choose_dtype("bfloat16") == torch.bfloat16
    assert devices.choose_dtype("float16", "cpu") == torch.float16
    assert devices.choose_dtype(torch.bfloat16) == torch.bfloat16
    with pytest.raises(InferenceError, match="use auto, float32, bfloat16, float16"):
        devices.choose_dtype("int8")


def test_cpu_description_and_memory_of_this_computer():
    assert devices.describe_device("cpu").startswith("CPU: ")
    free = devices.free_memory("cpu")
    assert free is None or 2**20 < free < 2**50


def test_container_limit_counts(tmp_path):
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 50\nfile 60\n")
    assert devices._free_in_container(tmp_path) == 350
    (tmp_path / "memory.max").write_text("max\n")
    assert devices._free_in_container(tmp_path) is None
    assert devices._free_in_container(tmp_path / "absent") is None
