"""The confidence strip: its colours, its rows, and where a click on it goes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dock import at, key, press, shown_frame
from qtpy.QtCore import QPoint, Qt

from napari_sam2.widgets._strip import (
    EMPTY,
    FOOT,
    GUTTER,
    HIGH,
    LOW,
    MAX_ROW,
    colors,
    squeeze,
)

DEUTERANOPIA = np.array(  # Machado et al. 2009
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.0119, 0.0429, 0.969],
    ]
)


def test_the_strip_shows_objects_and_frames_and_a_click_goes_there(stack, qtbot):
    w = stack()
    w.next_object()
    w.add_point((30, 20))
    press(qtbot, w.stack.propagate)
    strip = w.review.strip
    assert strip.ids == [1, 2]
    assert strip.values.shape == (2, 8)
    assert not np.isnan(strip.values).any()
    assert strip._prompted == {(0, 3), (1, 3)}
    column = (strip.width() - GUTTER) / 8
    row = strip.height() / 4
    place = QPoint(round(GUTTER + 6.5 * column), round(row))
    qtbot.mouseClick(strip, Qt.LeftButton, pos=place)
    assert shown_frame(w) == 6
    assert w.object_id == 1
    assert "frame 6" in strip.explain(place.x(), place.y())
    grabbed = strip.grab().toImage()
    assert grabbed.width() == strip.width()


def test_the_key_goes_from_uncertain_frame_to_uncertain_frame(stack, qtbot, backend):
    w = stack()
    press(qtbot, w.stack.propagate)
    line = w.tools.line()[1]
    record = w.tools.record.review
    for frame, certainty in ((6, 0.3), (1, 0.5)):
        facts = line[frame].__class__(**{**vars(line[frame]), "iou": certainty})
        record.put([((1, 2), (frame,), 1, facts)])
    press(qtbot, w.review.next)
    assert shown_frame(w) == 6
    key(w, "N")
    assert shown_frame(w) == 1
    press(qtbot, w.review.checked)
    assert w.tools.settled()[1] == {1}
    assert "1 checked" in w.review.summary.text()
    key(w, "K")
    assert w.tools.settled()[1] == set()
    for _ in range(5):
        press(qtbot, w.review.next)
    assert w.tools.next_uncertain() is None
    assert "Every frame" in w.status.text()


def color_at(strip, frame, y):
    """RGB of the strip, in the middle of a frame's column."""
    x = GUTTER + (frame + 0.5) * (strip.width() - GUTTER) / 8
    grabbed = strip.grab().toImage()
    ratio = grabbed.devicePixelRatio()
    return grabbed.pixelColor(round(x * ratio), round(y * ratio)).getRgb()[:3]


def lose(w, object_id, frame):
    known = w.tools.record.review.facts[1, 2][object_id][(frame,)]
    gone = replace(known, area=0, centre=None, iou=0.0)
    w.tools.record.review.put([((1, 2), (frame,), object_id, gone)])
    w.tools.refresh()


def test_a_flag_is_in_the_row_of_its_object_until_the_frame_is_checked(stack, qtbot):
    w = stack()
    w.next_object()
    w.add_point((3, 30, 40))
    press(qtbot, w.stack.propagate)
    strip = w.review.strip
    rows = [FOOT + MAX_ROW * number + 3 for number in range(2)]
    before = [color_at(strip, 6, y) for y in rows]
    lose(w, 2, 6)
    assert color_at(strip, 6, rows[1]) == LOW
    assert [color_at(strip, 6, rows[0]), color_at(strip, 6, 3)] == [
        before[0],
        color_at(strip, 1, 3),
    ]
    at(w, 6)
    w.check_frame(True)
    at(w, 3)
    assert color_at(strip, 6, rows[1]) != LOW


def test_with_many_objects_those_of_the_current_one_are_brighter(stack, qtbot):
    w = stack()
    for number in range(2, 25):
        w.next_object()
        w.add_point((3, 2 + number, 40))
    press(qtbot, w.stack.propagate)
    lose(w, 2, 6)
    w.choose_object(5)
    dim = color_at(w.review.strip, 6, 2)
    w.choose_object(2)
    assert color_at(w.review.strip, 6, 2) == LOW != dim
    assert dim != color_at(w.review.strip, 1, 2)


def test_the_row_of_the_current_object_is_marked(stack, qtbot):
    w = stack()
    w.next_object()
    w.add_point((3, 30, 40))
    press(qtbot, w.stack.propagate)
    strip, swatches = w.review.strip, []
    for chosen in (1, 2):
        w.choose_object(chosen)
        picture = strip.grab().toImage()
        x = round((GUTTER - 3) * picture.devicePixelRatio())
        swatches.append(
            [
                picture.pixelColor(x, round(FOOT + (n + 0.5) * MAX_ROW)).getRgb()[:3]
                for n in range(2)
            ]
        )
    colors = [
        tuple(round(255 * float(c)) for c in w.controller.stage.label_color(i)[:3])
        for i in (1, 2)
    ]
    for chosen, (row, other) in enumerate(((0, 1), (1, 0))):
        assert np.allclose(swatches[chosen][row], colors[row], atol=2)
        assert not np.allclose(swatches[chosen][other], colors[other], atol=2)


def test_the_keys_after_n_are_for_the_object_that_n_tells_of(stack, qtbot, backend):
    w = stack()
    w.next_object()
    w.add_point((3, 30, 40))
    press(qtbot, w.stack.propagate)
    key(w, "M")
    lose(w, 1, 6)
    other = w.labels.data == 2
    key(w, "N")
    assert (shown_frame(w), w.object_id) == (6, 1)
    key(w, "Shift+H")
    np.testing.assert_array_equal(w.labels.data == 2, other)
    assert [mark.object_id for mark in w.tools.record.marks] == [1]


def test_colours_go_from_low_to_high_and_the_worst_frame_shows():
    rgba = colors(np.array([[0.2, 0.99, np.nan, EMPTY]]))
    assert tuple(rgba[0, 0, :3]) == LOW
    assert tuple(rgba[0, 1, :3]) == HIGH
    assert rgba[0, 2, 3] == 0
    assert 0 < rgba[0, 3, 3] < 60
    values = np.array([[0.9, 0.4, EMPTY, 0.8, np.nan, np.nan, EMPTY, np.nan]])
    np.testing.assert_array_equal(squeeze(values, 4), [[0.4, 0.8, np.nan, EMPTY]])
    assert squeeze(values, 20) is values


@pytest.mark.parametrize("seen", [np.eye(3), DEUTERANOPIA], ids=["all", "no green"])
def test_certainties_near_0_9_are_told_apart(seen):
    rgb = colors(np.array([0.81, 0.85, 0.89, 0.93, 0.97]))[:, :3] @ seen.T
    steps = np.linalg.norm(np.diff(rgb, axis=0), axis=1)
    assert (steps > 35).all()
    blueness = rgb[:, 2] - rgb[:, 0]
    assert (np.diff(blueness) > 0).all()
    assert blueness[1] < -60
    assert blueness[3] > 60
