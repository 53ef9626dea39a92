"""The stack's controls, the confidence strip, sessions: pressed, clicked, looked at."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from dock import FRAMES, at, key, press, shown_frame
from qtpy.QtWidgets import QApplication

from napari_sam2.picture._image_reference import checksum
from napari_sam2.sessions._autosaves import find_offer
from napari_sam2.widgets._banners import describe


def filled(w, object_id=1):
    return np.flatnonzero((w.labels.data == object_id).any((1, 2))).tolist()


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


def test_offered_work_is_restored_by_a_button(stack, segment, qtbot):
    w = stack(FRAMES + 9)
    w.propagate()
    expected = w.labels.data.copy()
    w.keeper._autosave.flush()
    w.keeper._autosave._lock.release()
    other = segment(FRAMES + 9)
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
    data = FRAMES + 7  # no other test leaves work on this image
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
    viewer.add_image(FRAMES + 8)  # no other test leaves work on this image
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
