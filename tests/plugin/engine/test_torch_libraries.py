"""The window lives while torch's libraries are loaded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from napari_sam2.engine._torch_libraries import preload

SCRIPT = """
import ctypes, sys, threading, time
from napari_sam2.engine._torch_libraries import NAMES, preload

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


COLLECTIONS = """
import gc, sys
from napari_sam2.engine._torch_libraries import loading

held = [[n] for n in range(300_000)]  # as much as napari has
gc.collect()
seen = []
gc.callbacks.append(lambda phase, info: seen.append((phase, info["generation"])))
with loading():
    import torch
    assert not gc.isenabled()
assert seen == [] and gc.isenabled() and gc.get_freeze_count() == 0, seen
more = [[n] for n in range(20_000)]  # a click
assert ("start", 0) in seen or sys.version_info >= (3, 14)
assert ("start", 2) not in seen, seen
gc.disable()
with loading():
    pass
assert not gc.isenabled()
"""


def test_no_search_for_garbage_holds_up_the_window_while_torch_is_loaded():
    done = subprocess.run(
        [sys.executable, "-c", COLLECTIONS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


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
