"""A Tracks layer from the labels, with divisions as its graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2 import _layers
from sam2_core.errors import PromptError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from napari.layers import Image, Labels, Tracks
    from numpy.typing import NDArray

TRACKS_NAME = "SAM2 tracks"
MADE_FROM = "napari_sam2_labels"  # in the metadata of tracks: id of the labels layer
TAIL_WIDTH = 4  # napari's own, 2 pixels, is hardly seen on a mask


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
    where = np.nonzero(frame > 0)
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


def lineages(
    rows: NDArray[np.float64], divisions: Mapping[tuple[int, int, int], tuple[int, ...]]
) -> tuple[NDArray[np.int64], dict[int, list[int]]]:
    """Tracks, and which of them come out of which.

    In napari branches lead from the end of a track. So a mother whose label goes on as
    one of the daughters ends, too, and goes on as a track of its own.

    Parameters
    ----------
    rows : (N, 2 + axes) float array
        Label, time and place.
    divisions : dict
        Daughters by parent, frame and daughter asked about; () where the answer was no.

    Returns
    -------
    (N,) integer array
        Track of each row: its label, or a number above all labels.
    dict of int to list of int
        Napari's graph: daughter to its parents.
    """
    labels, times = rows[:, 0].astype(np.int64), rows[:, 1]
    tracks, graph = labels.copy(), dict[int, list[int]]()
    families: dict[tuple[int, int], set[int]] = {}
    for (parent, frame, _), born in divisions.items():
        if born:
            families.setdefault((parent, frame), set()).update(born)
    begins = {int(i): times[labels == i].min() for i in np.unique(labels)}
    going = {parent: parent for parent, _ in families}  # its track, up to a division
    for (parent, frame), daughters in sorted(families.items()):
        mother = going[parent]
        own = tracks == mother
        # Napari wants no others in a graph; who was there before was not born then.
        daughters = {i for i in daughters - {parent} if begins.get(i, -1) >= frame}
        if not daughters or not (own & (times < frame)).any():
            continue
        rest = own & (times >= frame)
        if rest.any():
            going[parent] = int(tracks.max()) + 1
            tracks[rest] = going[parent]
            graph[going[parent]] = [mother]
        graph.update({daughter: [mother] for daughter in sorted(daughters)})
    return tracks, graph


def make_tracks(
    rows: NDArray[np.float64],
    divisions: Mapping[tuple[int, int, int], tuple[int, ...]],
    image: Image,
    labels: Labels,
) -> Tracks:
    """A Tracks layer that coincides with the image, in the colours of the labels.

    Raises
    ------
    PromptError
        If there are no tracks.
    """
    from napari.layers import Tracks

    if len(rows) == 0:
        raise PromptError("The labels are empty: segment and propagate something.")
    tracks, graph = lineages(rows, divisions)
    order = np.lexsort((rows[:, 1], tracks))
    data = np.column_stack([tracks, rows[:, 1:]])[order]
    place = _layers.spatial(image)
    return Tracks(
        data,
        features={"label": rows[order, 0].astype(np.uint32)},
        graph=graph,
        name=TRACKS_NAME,
        metadata={MADE_FROM: str(labels.unique_id)},
        tail_width=TAIL_WIDTH,
        color_by="label",
        colormaps_dict={"label": labels.colormap},
        **place,
    )


def write_tracks(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save a tracks layer as a table, CSV: napari itself has no writer for it.

    A row per object and frame: track, t, place in pixels, features such as the label,
    and the tracks that this one comes out of.
    """
    import pandas as pd

    places = ["z", "y", "x"][-(data.shape[1] - 2) :]
    table = pd.DataFrame(data, columns=["track_id", "t", *places])
    table = table.astype({"track_id": int, "t": int})
    for name, values in dict(attributes.get("features", {})).items():
        if name not in table:
            table[name] = np.asarray(values)
    graph = attributes.get("graph", {})
    parents = {track: np.atleast_1d(graph[track]) for track in graph}
    table["parents"] = [
        " ".join(map(str, parents.get(i, ()))) for i in table["track_id"]
    ]
    table.to_csv(path, index=False)
    return [path]
