"""Sessions that are opened again: on their image, and on no other."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace

import npe2
import numpy as np
import pytest
import tifffile
from fakes import RAMP, FakeBackend, Stepper
from napari.utils.notifications import notification_manager

from napari_sam2._jobs import run_inline
from napari_sam2.engine._engine import Engine
from napari_sam2.history._history import History
from napari_sam2.history._plain_json import sums_as_json
from napari_sam2.history._record import Record
from napari_sam2.history._replay import Redo, apply, rerun
from napari_sam2.sessions._elsewhere import missing
from napari_sam2.sessions._restoring import STOPPED
from napari_sam2.sessions._session_file import read_session
from sam2_core import ImageError, PromptError


@pytest.fixture
def session(kept, tmp_path):
    """A session on an image file; gives both paths."""
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, RAMP)
    npe2.PluginManager.instance().discover()
    t = kept(None)
    (image,) = t.viewer.open(str(path), plugin="napari")
    t.choose_image(image)
    t.add_point((3, 10, 20))
    return t.keeper.save(tmp_path / "work"), path


def test_an_image_file_that_was_exchanged_is_refused(session, kept):
    file, path = session
    tifffile.imwrite(path, RAMP + 1)
    t = kept(None)
    with pytest.raises(ImageError, match=r"cells\.tif is not the image of the session"):
        t.keeper.load(file)
    assert t.stage.labels is None or not t.stage.labels.data.any()
    assert not t.history.record.journal.worked
    tifffile.imwrite(path, RAMP)
    t = kept(None)
    t.keeper.load(file)
    assert t.stage.labels.data[3, 10, 20] == 1


def test_an_open_image_with_other_pixels_is_not_taken_for_it(session, kept):
    file, path = session
    t = kept(RAMP + 1, name="cells")
    t.keeper._checksums.clear()  # it was not identified yet
    other = t.stage.image
    t.keeper.load(file)
    assert t.stage.image is not other
    np.testing.assert_array_equal(t.stage.image.data, RAMP)
    assert t.stage.labels.data[3, 10, 20] == 1
    path.unlink()
    t = kept(RAMP + 1, name="cells")
    t.keeper._checksums.clear()
    with pytest.raises(ImageError, match="is not the image of the session: its pixels"):
        t.keeper.load(file)
    assert len(t.stage.points.data) == 0


def test_masks_drawn_by_hand_come_back_beside_other_work(kept, tmp_path):
    """Also where labels take time to be counted, and somebody clicks meanwhile."""
    waiting = deque()
    t = kept(start=lambda *job: waiting.append(job[:3]))

    def work():
        while waiting:
            run_inline(*waiting.popleft())

    work()
    t.add_point((3, 10, 20))
    work()
    first = t.stage.labels
    t.viewer.dims.set_current_step(0, 3)
    first.mode = "paint"
    first.paint((3, 20, 30), 1)
    work()
    before = first.data.copy()
    assert before[3, 20, 30] == before[3, 10, 20] == 1
    t.keeper.load(t.keeper.save(tmp_path / "a"))
    t.add_point((1, 30, 50))
    work()
    assert t.stage.labels is not first
    np.testing.assert_array_equal(t.stage.labels.data[3], before[3])
    assert t.stage.labels.data[1, 30, 50] == 2


# -- something else meanwhile ---------------------------------------------------------


@pytest.fixture
def going(kept, tmp_path):
    """Threads that advance when told to; two sessions of an image: 1, and 1 and 2."""
    threads = Stepper()
    t = kept(RAMP, start=threads.start)
    t.threads = threads
    threads.run()
    t.files, t.saved = [], []
    for object_id, at in ((1, (0, 10, 20)), (2, (0, 30, 40))):
        t.add_point(at, object_id=object_id)
        threads.run()
        t.propagate("forward")
        threads.run()
        t.files.append(t.keeper.save(tmp_path / str(object_id)))
        t.saved.append(t.stage.labels.data.copy())
    return t


def begin(t, number):
    t.keeper.load(t.files[number])
    while t.state.done < 3:
        t.threads.step()
    assert t.state.busy == "restore"


def test_another_image_while_a_session_is_restored_gets_none_of_it(going):
    t, image = going, going.stage.image
    other = t.viewer.add_image(RAMP + 1)
    t.choose_image(other)
    t.threads.run()
    t.add_point((2, 20, 30))
    t.threads.run()
    theirs, before = t.stage.labels, t.stage.labels.data.copy()
    begin(t, 0)
    assert t.stage.image is image
    notification_manager.records.clear()
    t.choose_image(other)
    t.threads.run()
    assert t.stage.labels is theirs
    np.testing.assert_array_equal(theirs.data, before)
    told = [note.message for note in notification_manager.records]
    assert told == [STOPPED]
    t.keeper.load(t.files[0])
    t.threads.run()
    np.testing.assert_array_equal(t.stage.labels.data, t.saved[0])


@pytest.mark.parametrize("frames", [1, 3])
def test_of_two_sessions_the_second_is_as_it_was_saved(going, frames):
    t = going
    t.keeper.load(t.files[1])
    while t.state.done < frames:
        t.threads.step()
    t.keeper.load(t.files[0])
    t.threads.run()
    np.testing.assert_array_equal(t.stage.labels.data, t.saved[0])
    assert t.errors == []


def test_a_session_that_was_all_but_restored_is_no_other_image_s(going):
    """Its last mask has come, and another image is chosen before its end."""
    t = going
    other = t.viewer.add_image(RAMP + 1)
    begin(t, 0)
    while not t.runner._running.ended[1]:
        t.threads.step()
    t.choose_image(other)
    t.select_object(7)
    t.threads.run()
    assert t.stage.image is other
    assert t.state.object_id == 7
    assert not t.stage.labels.data.any()


def test_stopping_says_that_masks_are_missing(going):
    t = going
    begin(t, 1)
    t.cancel()
    t.threads.run()
    assert t.state.status == STOPPED
    t.add_point((4, 20, 50), object_id=3)
    t.threads.run()
    t.undo()  # the click, and no prompt of the session
    assert sorted(t.stage.points.features["object_id"]) == [1, 2]


# -- a restore that stops: the next session tells what there is ------------------------


def assert_told(t, labels, tmp_path):
    """A session saved now leads to these labels again, and to no others."""
    tmp_path.mkdir(exist_ok=True)
    file, shown = t.keeper.save(tmp_path / "after"), np.array(labels.data)
    session, repeated = read_session(file), np.zeros_like(shown)
    history = History(Record(session.journal))
    for item in rerun(session.journal, RAMP, Engine(FakeBackend()), lambda: False):
        if isinstance(item, Redo):
            apply(item, SimpleNamespace(data=repeated, name="labels"), history)
    np.testing.assert_array_equal(repeated, shown)
    assert missing(session, history.record.sums) == ""
    return file


@pytest.mark.parametrize("frames", [0, 1, 3, 5, 6, 8])
@pytest.mark.parametrize("then", ["nothing", "click", "propagate"])
def test_what_was_stopped_is_saved_as_far_as_it_came(
    going, kept, tmp_path, frames, then
):
    t = going
    t.keeper.load(t.files[1])
    while t.state.done < frames or t.state.busy != "restore":
        t.threads.step()
    t.threads.step()  # the worker is ahead
    t.cancel()
    t.threads.run()
    if then == "nothing":
        assert_told(t, t.stage.labels, tmp_path)
        return
    t.add_point((1, 12, 24), object_id=1)
    t.threads.run()
    if then == "propagate":
        t.propagate("forward")
        t.threads.run()
        assert (t.stage.labels.data > 0).any((1, 2)).all()
    again = kept()
    again.keeper.load(assert_told(t, t.stage.labels, tmp_path))
    np.testing.assert_array_equal(again.stage.labels.data, t.stage.labels.data)
    assert "not those that were saved" not in again.state.status


def test_a_stroke_is_there_when_a_restore_is_stopped(going, tmp_path):
    """Also if a mask was written over it; and so is what was taken away."""
    t = going
    t.keeper.load(t.files[1])
    while t.state.done < 2:
        t.threads.step()
    labels = t.stage.labels
    labels.mode, labels.brush_size = "paint", 3
    labels.paint((3, 20, 30), 1)
    while t.state.done < 5:
        t.threads.step()
    t.cancel()
    t.threads.run()
    assert labels.data[3, 20, 30] == 1
    assert labels.data[3].sum() > 100  # the mask as well
    assert_told(t, labels, tmp_path)


def test_what_is_stopped_when_the_model_is_done_is_saved_as_far_as_it_came(
    going, tmp_path
):
    """All has been made, and waits for the window."""
    t = going
    t.keeper.load(t.files[1])
    while t.state.busy != "restore":
        t.threads.step()
    iterator, *rest = t.threads.threads.pop()
    t.threads.threads.append((iter(list(iterator)), *rest))
    while t.state.done < 4:
        t.threads.step()
    t.cancel()
    t.threads.run()
    assert t.state.status == STOPPED
    assert (t.stage.labels.data != t.saved[1]).any()
    assert_told(t, t.stage.labels, tmp_path)


def test_what_another_image_has_stopped_is_saved_as_far_as_it_came(going, tmp_path):
    t, image = going, going.stage.image
    other = t.viewer.add_image(RAMP + 1)
    begin(t, 1)
    labels = t.stage.labels
    t.choose_image(other)
    t.threads.run()
    t.choose_image(image)
    t.threads.run()
    assert t.stage.labels is labels
    assert_told(t, labels, tmp_path)


def test_a_closed_dock_leaves_what_it_has_restored(going, tmp_path):
    t = going
    begin(t, 1)
    t.tasks.close()
    assert_told(t, t.stage.labels, tmp_path)


# -- while a session is restored -------------------------------------------------------


@pytest.mark.parametrize("what", ["merge", "track_all"])
def test_no_prompts_are_made_of_labels_that_are_there_in_part(going, what):
    t = going
    begin(t, 1)
    known = dict(t.stage.masks)
    with pytest.raises(PromptError, match=r"A session is being restored; .* when its"):
        t.objects.merge([1, 2]) if what == "merge" else t.objects.track_all()
    assert t.stage.masks == known
    t.threads.run()
    np.testing.assert_array_equal(t.stage.labels.data, t.saved[1])
    t.objects.merge([1, 2]) if what == "merge" else t.objects.track_all()


def stroke(t, label):
    """Paint on a frame that is not restored yet; returns the layer."""
    labels = t.stage.labels
    labels.mode, labels.brush_size = "paint", 3
    labels.paint((4, 20, 5), label)
    return labels


def test_a_stroke_meanwhile_is_no_defect_of_the_session(going):
    t = going
    begin(t, 1)
    labels = stroke(t, 7)
    t.threads.run()
    assert "not those that were saved" not in t.state.status
    assert t.history.record.lack is None
    assert (labels.data[4] == 7).any()
    np.testing.assert_array_equal(labels.data[:4], t.saved[1][:4])


def test_a_stroke_meanwhile_is_told_as_it_was_done(going, tmp_path):
    """Painted before its mask had come, it is nothing that the mask has to spare."""
    t = going
    begin(t, 1)
    labels = stroke(t, 1)
    t.threads.run()
    assert labels.data[4, 20, 5] == 1
    assert_told(t, labels, tmp_path / "1")
    t.propagate("both")
    t.threads.run()
    assert_told(t, labels, tmp_path / "2")


def test_a_stroke_hides_no_defect_of_other_planes(going):
    t = going
    session = read_session(t.files[1])
    sums = session.checksums.copy()
    sums[2] += 1
    session.labels["checksums"] = sums_as_json(sums.tolist())
    t.files[1].write_text(session.as_text())
    begin(t, 1)
    labels = t.stage.labels
    labels.mode = "paint"
    labels.paint((4, 20, 5), 7)
    t.threads.run()
    assert "1 of 5 planes (first: 2) differs" in t.state.status
    assert t.history.record.lack.text == t.state.status


def test_labels_that_a_session_leaves_are_put_aside(going):
    t, left = going, going.stage.labels
    t.keeper.load(t.files[0])
    t.threads.run()
    assert t.stage.labels is not left
    assert (left.visible, t.stage.labels.visible) == (False, True)
    t.choose_labels(left)
    assert left.visible


def test_labels_from_elsewhere_stay_on_display(going):
    t = going
    mine = t.viewer.add_labels(np.ones(RAMP.shape, np.int32), name="mine")
    t.choose_labels(mine)
    t.threads.run()
    t.keeper.load(t.files[0])
    t.threads.run()
    assert t.stage.labels is not mine
    assert mine.visible


@pytest.mark.parametrize("same", [True, False])
def test_labels_that_a_session_began_with_are_hidden(kept, tmp_path, same):
    """What was erased from them since would be seen beneath."""
    foreign = np.zeros(RAMP.shape, np.uint16)
    foreign[3, 5:15, 10:20], foreign[3, 20:30, 10:20] = 1, 2
    t = kept()
    t.choose_labels(t.viewer.add_labels(foreign.copy()))
    t.objects.delete([2])
    t.add_point((3, 10, 40), object_id=1)
    saved = t.keeper.save(tmp_path / "work")
    expected = t.stage.labels.data.copy()
    assert not (expected == 2).any()
    t = kept()
    if not same:
        foreign[3, 20, 10] = 0
    opened = t.viewer.add_labels(foreign.copy(), name="cellpose")
    notification_manager.records.clear()
    t.keeper.load(saved)
    np.testing.assert_array_equal(t.stage.labels.data, expected)
    np.testing.assert_array_equal(opened.data, foreign)
    assert opened.visible is not same
    told = [note.message for note in notification_manager.records]
    assert any("cellpose is hidden" in each for each in told) is same


@pytest.mark.parametrize("worked", [False, True])
def test_a_session_that_was_stopped_goes_on_in_its_labels(going, worked):
    """Unless somebody has worked on them."""
    t = going
    begin(t, 1)
    t.cancel()
    t.threads.run()
    part, layers = t.stage.labels, len(t.viewer.layers)
    if worked:
        t.add_point((4, 20, 50), object_id=3)
        t.threads.run()
    before = part.data.copy()
    t.keeper.load(t.files[1])
    t.threads.run()
    np.testing.assert_array_equal(t.stage.labels.data, t.saved[1])
    assert (t.stage.labels is part) is not worked
    assert len(t.viewer.layers) == layers + worked
    if worked:
        np.testing.assert_array_equal(part.data, before)


def test_another_session_does_not_go_on_in_labels_that_were_stopped(going):
    t = going
    begin(t, 1)
    t.cancel()
    t.threads.run()
    part, before = t.stage.labels, t.stage.labels.data.copy()
    t.keeper.load(t.files[0])
    t.threads.run()
    assert t.stage.labels is not part
    np.testing.assert_array_equal(part.data, before)


def test_a_session_that_is_opened_twice_at_once_is_whole(going):
    t = going
    begin(t, 1)
    t.keeper.load(t.files[1])
    t.threads.run()
    np.testing.assert_array_equal(t.stage.labels.data, t.saved[1])
