"""torch's shared libraries, loaded without holding up the window."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# In the order in which torch itself has them loaded; most of the time goes into the
# second one.
NAMES = ("torch_global_deps", "torch_cpu", "torch_python")


def preload() -> list[Path]:
    """Load what ``import torch`` is going to need; to be called in a worker thread.

    Python holds its lock while an import loads a shared library, so that other threads,
    the window's among them, stand still for as long as that takes: seconds, from a cold
    disk. A foreign function is called without the lock. What cannot be loaded here is
    left to the import, which says why.

    Returns
    -------
    list of Path
        The libraries that were loaded; none if torch is there already, and on Windows,
        where torch looks for its libraries in ways of its own.
    """
    if "torch" in sys.modules or os.name != "posix":
        return []
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return []
    folder = Path(spec.submodule_search_locations[0]) / "lib"
    suffix = "dylib" if sys.platform == "darwin" else "so"
    dlopen = ctypes.CDLL(None).dlopen
    dlopen.argtypes, dlopen.restype = [ctypes.c_char_p, ctypes.c_int], ctypes.c_void_p
    loaded = []
    for name in NAMES:
        path = folder / f"lib{name}.{suffix}"
        scope = os.RTLD_GLOBAL if name == NAMES[0] else os.RTLD_LOCAL
        if path.exists() and dlopen(os.fsencode(path), os.RTLD_NOW | scope):
            loaded.append(path)
    return loaded


@contextmanager
def loading() -> Iterator[None]:
    """Load torch and a model inside, without Python searching all memory for garbage.

    The 200,000 objects that come with torch have Python look through everything of
    napari twice, with its lock held: the window stands still for 0.3 s each time. They
    are counted among what is old afterwards, or the next click would pay for them.
    """
    preload()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.unfreeze()
        if enabled:
            gc.enable()
