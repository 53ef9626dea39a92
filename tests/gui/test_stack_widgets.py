"""The stack's controls, the confidence strip, sessions: pressed, clicked, looked at."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication

from napari_sam2._autosaves import find_offer
from napari_sam2._image_reference import checksum
from napari_sam2.widgets._banners import describe
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

STACK = np.zeros((8, 40, 60), np.float32)
DEUTERANOPIA = np.array(  # Machado et al. 2009
    [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.0119, 0.0429, 0.969],
    ]
)


@pytest.fixture
def stack(segment):
    """A dock of fixed width on a stack with object 1 prompted on frame 3."""

    def make(data=STACK, axis="z"):
        w = segment(data, axis_labels=(axis, "y", "x"))
        w.resize(320, 900)
        w.show()
        at(w, 3)
        w.add_point((10, 20))
        return w

    return make


def at(w, frame):
    w.viewer_model.dims.set_current_step(0, frame)


def press(qtbot, button):
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.LeftButton)


def key(w, text):
    """What napari calls when a key is pressed."""
    bound = {str(key): run for key, run in w.viewer_model.keymap.items()}
    bound[text](w.viewer_model)


def filled(w, object_id=1):
    return np.flatnonzero((w.labels.data == object_id).any((1, 2))).tolist()


def shown_frame(w):
    return w.viewer_model.dims.current_step[0]


def test_range_slider_and_boxes_are_the_same_range(stack, qtbot):
    w = stack()
    w.stack.range.setValue((2, 5))
    assert (w.state.start, w.state.stop) == (2, 5)
    assert (w.stack.start.value(), w.stack.stop.value()) == (2, 5)
    w.stack.stop.setValue(6)
    assert w.stack.range.value() == (2, 6)
    press(qtbot, w.stack.propagate)
    assert filled(w) == [2, 3, 4, 5, 6]
    w.stack.range.setValue((0, 7))
    assert (w.state.start, w.state.stop) == (None, None)


def test_marks_are_buttons_of_the_frame_on_display(stack, qtbot):
    w = stack()
    press(qtbot, w.stack.propagate)
    at(w, 5)
    press(qtbot, w.stack.absent)
    assert filled(w) == [0, 1, 2, 3, 4, 6, 7]
    assert w.stack.absent.isChecked()
    at(w, 6)
    assert not w.stack.absent.isChecked()
    press(qtbot, w.stack.ends)
    assert filled(w) == [0, 1, 2, 3, 4, 6]
    press(qtbot, w.stack.propagate)
    assert filled(w) == [0, 1, 2, 3, 4, 6]  # respected
    press(qtbot, w.prompts.undo)
    press(qtbot, w.prompts.undo)
    assert not w.stack.ends.isChecked()
    assert filled(w) == [0, 1, 2, 3, 4, 6, 7]
    at(w, 3)
    press(qtbot, w.stack.absent)
    assert "prompts on this frame" in w.status.text()
    assert not w.stack.absent.isChecked()
    assert 3 in filled(w)


def test_an_object_begins_on_the_frame_on_display(stack, qtbot):
    w = stack()
    press(qtbot, w.stack.propagate)
    at(w, 2)
    press(qtbot, w.stack.begins)
    assert w.stack.begins.isChecked()
    assert filled(w) == [2, 3, 4, 5, 6, 7]
    press(qtbot, w.stack.propagate)
    assert filled(w) == [2, 3, 4, 5, 6, 7]  # respected
    press(qtbot, w.stack.ends)  # before the first prompt, and says the same
    assert w.stack.begins.isChecked()
    press(qtbot, w.stack.absent)
    assert not w.stack.begins.isChecked()


def test_in_3d_keys_and_buttons_say_what_clicks_do(stack, qtbot):
    w = stack()
    w.viewer_model.dims.ndisplay = 3
    for text in ("H", "Shift+B", "Shift+H", "N", "K", "Shift+S"):
        w.state.status = ""
        key(w, text)
        assert "Switch the viewer to 2D" in w.status.text(), text
    for button in (w.stack.propagate, w.stack.absent, w.stack.begins, w.stack.ends):
        w.state.status = ""
        press(qtbot, button)
        assert "Switch the viewer to 2D" in w.status.text(), button.text()
    w.viewer_model.dims.ndisplay = 2
    at(w, 2)
    key(w, "Shift+B")
    press(qtbot, w.stack.propagate)
    assert filled(w) == [2, 3, 4, 5, 6, 7]


def test_a_prompt_counts_more_than_absent(stack):
    w = stack()
    at(w, 5)
    assert w.mark_absent()
    w.add_point((10, 22))
    assert not w.stack.absent.isChecked()
    assert 5 in filled(w)
    w.undo()
    assert w.stack.absent.isChecked()


def test_corrections_follow_by_themselves_when_asked(stack, qtbot):
    w = stack()
    press(qtbot, w.stack.propagate)
    w.stack.more.header.click()
    at(w, 5)
    w.add_point((30, 40))
    before = w.labels.data[7].copy()
    w.stack.follow.click()
    assert w.state.follow_corrections
    w.add_point((32, 40))
    assert (w.labels.data[7] != before).any()


def test_patience_is_kept_in_the_state(stack):
    w = stack()
    assert w.state.stop_when_lost
    w.stack.patience.setValue(7)
    assert w.state.patience == 7
    w.stack.lost.click()
    assert not w.state.stop_when_lost
    assert not w.stack.patience.isEnabled()


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


def part(w):
    """Have object 1 in two parts from frame 5 on, as far as is known."""
    line = w.tools.line()[1]
    parted = [((1, 2), (t,), 1, replace(line[t], parts=2)) for t in (5, 6)]
    w.tools.record.review.put(parted)
    w.tools.refresh()


def test_show_goes_to_the_object_that_the_question_is_about(stack, qtbot, backend):
    w = stack(axis="t")
    press(qtbot, w.stack.propagate)
    part(w)
    key(w, "M")
    assert w.object_id == 2
    press(qtbot, w.review.show_it)
    assert (shown_frame(w), w.object_id) == (5, 1)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("yes", "mother is Object 2 and Object 3 from frame 5 on."),
        ("no", "mother did not divide there; it is not asked again."),
    ],
)
def test_the_question_calls_objects_by_name_and_answers_are_told(
    stack, qtbot, answer, said
):
    w = stack(axis="t")
    press(qtbot, w.stack.propagate)
    part(w)
    w.objects.rename(1, "mother")
    question = "mother is in two parts from frame 5. Did it divide?"
    assert w.review.question.text() == question
    press(qtbot, getattr(w.review, answer))
    assert w.state.status == said
    assert not w.review.asking.isVisibleTo(w)


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


def test_offered_work_is_restored_by_a_button(stack, segment, qtbot):
    w = stack(STACK + 9)
    w.propagate()
    expected = w.labels.data.copy()
    w.keeper._autosave.flush()
    w.keeper._autosave._lock.release()
    other = segment(STACK + 9)
    other.show()
    assert other.offer.isVisible()
    assert describe(other.keeper.offer.session) in other.offer.text.text()
    press(qtbot, other.offer.restore)
    assert not other.offer.isVisible()
    np.testing.assert_array_equal(other.labels.data, expected)


def test_a_closed_dock_leaves_its_work_to_the_next(qtbot, backend):
    from napari.components import ViewerModel

    from napari_sam2._jobs import run_inline
    from napari_sam2.widgets.segment import SegmentWidget

    viewer = ViewerModel()
    data = STACK + 7  # no other test leaves work on this image
    viewer.add_image(data)
    w = SegmentWidget(viewer, backend=backend, start=run_inline)
    w.add_point((3, 10, 20))
    folder, labels, closed = w.keeper.folder, w.labels, weakref.ref(w)
    w.keeper._autosave.flush()
    assert find_offer(folder, checksum(data)) is None
    del w
    gc.collect()
    assert closed() is None
    assert labels.data[3, 10, 20] == 1
    assert find_offer(folder, checksum(data)).session.prompt_count == 1


def test_a_closed_dock_that_is_still_held_follows_nothing(backend, qtbot):
    from napari.components import ViewerModel

    from napari_sam2._jobs import run_inline
    from napari_sam2.widgets.segment import SegmentWidget

    viewer = ViewerModel()
    viewer.add_image(STACK + 8)  # no other test leaves work on this image
    w = SegmentWidget(viewer, backend=backend, start=run_inline)
    w.add_point((3, 10, 20))
    w.propagate("forward")
    labels, history = w.labels, w.controller.history
    with qtbot.waitSignal(w.destroyed):  # Qt's part goes, Python's stays
        w.deleteLater()
    followed = []
    tools = w.tools
    for signal in (tools.changed, tools.moved, tools.measured, w.objects.changed):
        signal.connect(lambda *_: followed.append(1), check_nargs=False)
    other = SegmentWidget(viewer, backend=backend, start=run_inline)
    qtbot.addWidget(other)
    assert (other.labels, other.controller.history) == (labels, history)
    added = other.next_object()
    other.add_point((3, 30, 40))
    viewer.dims.set_current_step(0, 5)
    other.choose_object(1)
    other.mark_absent()
    other.undo()
    other.redo()
    assert (labels.data[3] == added).any()
    assert not (labels.data[5] == 1).any()
    assert followed == []


def test_out_of_memory_shows_a_way_out(stack, backend, qtbot):
    w = stack()
    w.choose_model("sam2.1_hiera_large", "cuda")
    backend.error = RuntimeError("CUDA out of memory")
    w.add_point((12, 20))
    assert w.remedy.isVisible()
    backend.error = None
    press(qtbot, w.remedy.buttons[1])
    assert not w.remedy.isVisible()
    assert w.state.model == "sam2.1_hiera_base_plus"
    assert w.labels.data[3, 12, 20] == 1


def test_the_dock_fits_320_pixels(stack):
    w = stack()
    w.propagate()
    w.session_fold.header.setChecked(True)
    w.stack.more.header.setChecked(True)
    QApplication.processEvents()
    for child in (w.stack, w.review, w.session_fold):
        assert child.minimumSizeHint().width() <= 300


def test_many_steps_of_progress_are_drawn_once(stack, qtbot):
    w = stack()
    drawn = []
    set_value = w.progress.bar.setValue
    w.progress.bar.setValue = lambda value: (drawn.append(value), set_value(value))
    w.state.update(total=1000, busy="propagate")
    drawn.clear()
    for done in range(1, 1001):
        w.state.update(done=done, seconds_left=1.0)
    assert drawn == []
    qtbot.waitUntil(lambda: w.progress.bar.value() == 1000, timeout=2000)
    assert drawn == [1000]
