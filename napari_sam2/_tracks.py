"""A Tracks layer from the labels, with divisions as its graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2 import _layers
from sam2_core.errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from napari.layers import Image, Tracks
    from numpy.typing import NDArray

TRACKS_NAME = "SAM2 tracks"


def rows_of_frame(frame: NDArray[np.integer[Any]], time: int) -> NDArray[np.float64]:
    """One row per object of a frame: id, time, then the centre along each axis.

    Parameters
    ----------
    frame : integer array
        Labels of one time point, of any number of axes.
    time : int
        Its index.

    Returns
    -------
    (N, 2 + frame.ndim) float array
        Sorted by id.
    """
    where = np.nonzero(frame)
    ids, inverse, sizes = np.unique(
        frame[where], return_inverse=True, return_counts=True
    )
    centres = [np.bincount(inverse.ravel(), axis) / sizes for axis in where]
    if ids.size == 0:
        return np.empty((0, 2 + frame.ndim))
    return np.column_stack([ids, np.full(ids.size, time), *centres]).astype(float)


def collect_rows(
    labels: Any, stop: Any = lambda: False
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Rows of every time point; labels (T, ..., Y, X) are read one at a time."""
    for time in range(labels.shape[0]):
        if stop():
            return
        yield time, rows_of_frame(np.asarray(labels[time]), time)


def graph_of(
    divisions: Mapping[tuple[int, int, int], tuple[int, ...]], ids: set[int]
) -> dict[int, list[int]]:
    """Napari's graph: daughter to its parents.

    Parameters
    ----------
    divisions : dict
        Daughters by parent, frame and daughter asked about; () where the answer was no.
    ids : set of int
        Tracks there are; napari wants no others in a graph.
    """
    graph: dict[int, list[int]] = {}
    for (parent, _, _), daughters in sorted(divisions.items()):
        for daughter in daughters:
            if daughter in ids and parent in ids and daughter != parent:
                graph[daughter] = [parent]
    return graph


def make_tracks(
    rows: NDArray[np.float64],
    divisions: Mapping[tuple[int, int, int], tuple[int, ...]],
    image: Image,
) -> Tracks:
    """A Tracks layer that coincides with the image.

    Raises
    ------
    PromptError
        If there are no tracks.
    """
    from napari.layers import Tracks

    if len(rows) == 0:
        raise PromptError("The labels are empty: segment and propagate something.")
    order = np.lexsort((rows[:, 1], rows[:, 0]))
    graph = graph_of(divisions, {int(i) for i in np.unique(rows[:, 0])})
    place = _layers.spatial(image)
    return Tracks(rows[order], graph=graph, name=TRACKS_NAME, **place)
