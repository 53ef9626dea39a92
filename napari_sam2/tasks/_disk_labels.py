"""Labels that live in a zarr store on disk instead of in memory."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_warning

from napari_sam2._jobs import Job, Stop
from napari_sam2._labels import Patch, box_index
from napari_sam2.history._sums import plane_sum
from sam2_core.errors import Cancelled, ImageError, Sam2Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import napari.components
    from napari.layers import Labels

    from napari_sam2.history._history import History
    from napari_sam2.tasks._tasks import Tasks

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


def open_store(path: Path, shape: tuple[int, ...]) -> Any:
    """The zarr array that labels live in; ImageError if it is not there, or another."""
    import zarr

    try:
        store = zarr.open_array(str(path), mode="r+")
    except (OSError, ValueError) as error:
        raise ImageError(f"{path} cannot be opened any more") from error
    if tuple(store.shape) != shape or not np.issubdtype(store.dtype, np.integer):
        raise ImageError(f"{path} holds other labels now")
    return store


def on_disk(labels: Any) -> str:
    """Where the labels live, "" if they are in memory."""
    root = getattr(getattr(getattr(labels, "data", None), "store", None), "root", None)
    return "" if root is None else str(root)


class Doubles:
    """Says of layers that come into a viewer that they show another's labels on disk.

    Duplicates do: napari copies arrays in memory only.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Whose layers are watched.
    """

    def __init__(self, viewer: napari.components.ViewerModel) -> None:
        self._viewer = viewer
        viewer.layers.events.inserted.connect(self._on_inserted)

    def _on_inserted(self, event: Any) -> None:
        layer, path = event.value, on_disk(event.value)
        for other in self._viewer.layers if path else ():
            if other is not layer and on_disk(other) == path:
                show_warning(
                    f"{layer.name!r} is no copy: it shows the labels on disk that "
                    f"{other.name!r} shows, and edits go to both. To have a copy, save "
                    "the layer to a file."
                )
                return


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
    path = path.absolute()
    path = path if path.suffix == ".zarr" else path.with_name(path.name + ".zarr")
    source = labels.data
    store = new_store(path, tuple(source.shape), source.dtype)
    changes: list[Any] = []  # since the copy began
    events = labels.events.paint, labels.events.labels_update

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
        ignore()
        if error is not None:
            shutil.rmtree(path, ignore_errors=True)
            tasks.fail(error)
            return
        _live_in(tasks, labels, store)

    def begin() -> None:
        tasks.runner.submit(Job("copy", work, on_item, on_end, on_start))

    for each in events:
        each.connect(on_change)
    ignore = hear(tasks, labels, on_change)
    begin()


def reopen(
    tasks: Tasks,
    labels: Labels,
    path: Path,
    sums: Sequence[int],
    edits: Sequence[Patch],
    then: Callable[[str], None],
) -> None:
    """Let restored labels live again in the zarr store in which they were.

    It is compared in the background, and not written to before that: only what is
    equal to the last bit is taken. What the user did meanwhile is written to it then.

    Parameters
    ----------
    tasks : Tasks
        Has restored the labels.
    labels : napari.layers.Labels
        In memory.
    path : Path
        Of the store.
    sums : sequence of int
        Checksum of every plane that the store has to have, first axis slowest.
    edits : sequence of Patch
        Where the user has changed the labels since then; there may be more when the
        store has been compared.
    then : callable
        Gets the reason why the labels stay in memory, "" if they do not.
    """
    for layer in tasks.stage.viewer.layers:
        if on_disk(layer) == str(path):
            then(f"{path} is on display as {layer.name!r} already")
            return
    try:
        store = open_store(path, tuple(labels.data.shape))
    except ImageError as error:
        then(str(error))
        return

    def work(stop: Stop) -> Iterator[Any]:
        for place, total in zip(np.ndindex(*store.shape[:-2]), sums, strict=True):
            if plane_sum(store[place]) != int(total):
                raise ImageError(
                    f"{path} holds other labels now, newer ones if napari crashed "
                    "(open it in napari to see them)"
                )
            yield place

    def on_item(item: Any) -> None:
        tasks.state.done += 1

    def on_start() -> None:
        tasks.state.update(busy="restore", done=0, total=len(sums))

    def on_end(error: Sam2Error | None) -> None:
        tasks.state.update(busy="", done=0, total=0)
        if error is None:
            for edit in edits:
                _copy_pixels(labels, store, edit)
            _live_in(tasks, labels, store)
        if isinstance(error, Cancelled):
            error = ImageError(f"{path} was not looked through")
        then("" if error is None else str(error))

    tasks.runner.submit(Job("copy", work, on_item, on_end, on_start))


def hear(
    tasks: Tasks, labels: Labels, heard: Callable[[Patch], None]
) -> Callable[[], None]:
    """Tell of each plane that is written or taken back; returns what ends it.

    The layer itself tells of strokes, and of what is on display.
    """
    histories: list[History] = []

    def attend() -> None:
        """These labels may get another history, and other labels be in use."""
        if tasks.stage.labels is labels and tasks.history not in histories:
            histories.append(tasks.history)
            tasks.history.patched.connect(heard)

    def end() -> None:
        tasks.history_changed.disconnect(attend)
        for history in histories:
            history.patched.disconnect(heard)

    tasks.history_changed.connect(attend)
    attend()
    return end


def _copy_pixels(labels: Labels, store: Any, edit: Patch) -> None:
    """Have the pixels of an edit on disk as they are in memory by now."""
    box = box_index(edit.plane, edit.position, edit.rows, edit.columns)
    pixels, changed = np.array(store[box]), edit.changed()
    pixels[changed] = np.asarray(labels.data[box])[changed]
    store[box] = pixels


def _live_in(tasks: Tasks, labels: Labels, store: Any) -> None:
    labels.data = store
    tasks.state.status = f"The labels are written to {on_disk(labels)} from now on."
    if labels is tasks.stage.labels:
        tasks.state.events.labels.emit(labels)
    tasks.ended.emit("copy")
