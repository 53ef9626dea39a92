"""Rows of a Tracks layer and its graph, from numbers."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from napari.layers import Tracks

from napari_sam2.following._tracks import lineages, rows_of_frame, write_tracks


def test_rows_are_the_centres_of_the_objects():
    frame = np.zeros((5, 8), np.uint16)
    frame[1:4, 2] = 3
    frame[0, 5:8] = 1
    expected = [[1, 9, 0, 6], [3, 9, 2, 2]]
    np.testing.assert_array_equal(rows_of_frame(frame, 9), expected)
    volume = np.stack([frame, frame])
    np.testing.assert_array_equal(rows_of_frame(volume, 0)[1], [3, 0, 0.5, 2, 2])
    assert rows_of_frame(np.zeros((4, 4), int), 0).shape == (0, 4)
    bordered = np.where(frame == 0, -1, frame.astype(np.int32))
    np.testing.assert_array_equal(rows_of_frame(bordered, 9), expected)


def test_graph_names_only_tracks_that_are_there():
    answers = {(1, 4, 0): (7, 8), (2, 3, 0): (), (7, 6, 9): (9,)}
    rows = np.array([[1, 3], [2, 3], [7, 4], [8, 4]], float)
    tracks, graph = lineages(rows, answers)
    assert tracks.tolist() == [1, 2, 7, 8]
    assert graph == {7: [1], 8: [1]}


def test_a_mother_that_goes_on_as_a_daughter_ends_at_the_division():
    rows = np.array([[1, t] for t in range(9)] + [[2, 3], [3, 6], [4, 6]], float)
    answers = {(1, 3, 2): (2,), (1, 6, 3): (3,), (1, 6, 4): (4,)}
    tracks, graph = lineages(rows, answers)
    assert tracks.tolist() == [1] * 3 + [5] * 3 + [6] * 3 + [2, 3, 4]
    assert graph == {2: [1], 5: [1], 3: [5], 4: [5], 6: [5]}


def test_what_was_there_before_a_division_was_not_born_then():
    rows = np.array([[1, 0], [1, 1], [1, 2], [2, 0], [2, 1], [2, 2]], float)
    tracks, graph = lineages(rows, {(1, 1, 2): (2,)})
    assert tracks.tolist() == [1, 1, 1, 2, 2, 2]
    assert graph == {}


@pytest.mark.parametrize("places", [["y", "x"], ["z", "y", "x"]])
def test_tracks_are_saved_as_a_table(tmp_path, places):
    extra = [0.5] * (len(places) - 2)
    rows = [[1, 0, *extra, 5, 6.25], [4, 1, *extra, 5, 7], [2, 1, *extra, 8, 9]]
    tracks = Tracks(
        np.array(rows, float), features={"label": [1, 1, 2]}, graph={4: [1], 2: [1]}
    )
    path = str(tmp_path / "tracks.csv")
    data, attributes, _ = tracks.as_layer_data_tuple()
    assert write_tracks(path, data, attributes) == [path]
    with open(path, newline="") as file:
        names, *found = csv.reader(file)
    assert names == ["track_id", "t", *places, "label", "parents"]
    told = {line[0]: [float(i) for i in line[1:-2]] for line in found}
    assert told == {str(row[0]): row[1:] for row in rows}
    assert {line[0]: line[-2:] for line in found} == {
        "1": ["1", ""],
        "4": ["1", "1"],
        "2": ["2", "1"],
    }
