"""Labels that live in a zarr store on disk instead of in memory."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2._jobs import Job, Stop
from sam2_core.errors import ImageError, Sam2Error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari.layers import Labels

    from napari_sam2._tasks import Tasks

CHUNK = 512  # rows and columns; one frame deep, as masks come frame by frame


def new_store(path: Path, shape: tuple[int, ...], dtype: Any) -> Any:
    """An empty zarr array for labels; ImageError if there is something already."""
    import zarr

    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ImageError(f"{path} exists already: choose another name.")
    chunks = (*(1,) * (len(shape) - 2), *(min(CHUNK, n) for n in shape[-2:]))
    try:
        return zarr.open_array(
            str(path), mode="w", shape=shape, chunks=chunks, dtype=dtype, fill_value=0
        )
    except (OSError, ValueError) as error:
        raise ImageError(f"{path} cannot be written: {error}") from error


def on_disk(labels: Any) -> str:
    """Where the labels live, "" if they are in memory."""
    root = getattr(getattr(labels.data, "store", None), "root", None)
    return "" if root is None else str(root)


def copy_planes(source: Any, target: Any, stop: Stop) -> Iterator[tuple[int, int]]:
    """Copy what differs, plane by plane; yields (done, total)."""
    lead = tuple(source.shape[:-2])
    total = int(np.prod(lead, dtype=np.int64))
    for done, index in enumerate(np.ndindex(*lead), start=1):
        if stop():
            return
        plane = np.asarray(source[index])
        if not np.array_equal(plane, target[index]):
            target[index] = plane
        yield done, total


def move_to_disk(tasks: Tasks, labels: Labels, path: Path) -> None:
    """Let a labels layer live in a new zarr store from now on.

    Copying is a background job; when it is done the layer's array is exchanged, and
    all that is written later goes through to the disk. What is painted or taken back
    meanwhile is copied, too. Prompts, undo and the layer itself stay as they are.

    Raises
    ------
    ImageError
        If the store cannot be made, or the labels are on disk already.
    """
    if on_disk(labels):
        raise ImageError(f"The labels are in {on_disk(labels)} already.")
    path = path if path.suffix == ".zarr" else path.with_name(path.name + ".zarr")
    source = labels.data
    store = new_store(path, tuple(source.shape), source.dtype)
    changes: list[Any] = []  # since the copy began
    events = tasks.history_changed, labels.events.paint, labels.events.labels_update

    def work(stop: Stop) -> Iterator[Any]:
        return copy_planes(source, store, stop)

    def on_item(item: tuple[int, int]) -> None:
        tasks.state.update(done=item[0], total=item[1])

    def on_change(event: Any = None) -> None:
        changes.append(event)

    def on_start() -> None:
        changes.clear()
        tasks.state.update(busy="copy", done=0, total=1)

    def on_end(error: Sam2Error | None) -> None:
        tasks.state.update(busy="", done=0, total=0)
        if error is None and changes:
            begin()
            return
        for each in events:
            each.disconnect(on_change)
        if error is not None:
            shutil.rmtree(path, ignore_errors=True)
            tasks.fail(error)
            return
        labels.data = store
        tasks.state.status = f"The labels are written to {path} from now on."
        tasks.state.events.labels.emit(labels)

    def begin() -> None:
        tasks.runner.submit(Job("copy", work, on_item, on_end, on_start))

    for each in events:
        each.connect(on_change)
    begin()
