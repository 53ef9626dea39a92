"""The window lives while torch's libraries are loaded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from napari_sam2._torch_libraries import preload

SCRIPT = """
import ctypes, sys, threading, time
from napari_sam2._torch_libraries import NAMES, preload

real, naps = ctypes.CDLL(None), []

class Library:
    def __init__(self, name):
        assert name is None
        # A slow disk: a foreign function that takes its time.
        self.usleep = real.usleep
        self.dlopen = self

    def __call__(self, path, flags):
        naps.append(path)
        self.usleep(100_000)
        return real_dlopen(path, flags)

real_dlopen = real.dlopen
real_dlopen.argtypes = [ctypes.c_char_p, ctypes.c_int]
real_dlopen.restype, RealLibrary = ctypes.c_void_p, ctypes.CDLL
ctypes.CDLL = Library
loaded = []
worker = threading.Thread(target=lambda: loaded.extend(preload()))
ticks, begin = 0, time.perf_counter()
worker.start()
while worker.is_alive():
    time.sleep(0.002)
    ticks += 1
took, ctypes.CDLL = time.perf_counter() - begin, RealLibrary
assert "torch" not in sys.modules
assert len(loaded) == len(naps) == len(NAMES), loaded
assert took > 0.3 and ticks > 20, (took, ticks)
import torch
assert torch.ones(2).sum() == 2
assert preload() == []
"""


@pytest.mark.skipif(os.name != "posix", reason="Windows has other ways")
def test_libraries_load_while_other_threads_run_and_torch_is_content():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_nothing_to_do_without_torch(monkeypatch):
    import importlib.util

    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert preload() == []
