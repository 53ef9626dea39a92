"""Work that is saved by itself, also where no job runs."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from fakes import Stepper
from napari.utils.notifications import notification_manager

from napari_sam2._controller import SegmentController
from napari_sam2._engine import Engine
from napari_sam2._jobs import JobRunner, run_inline
from napari_sam2._keeping import APART, SessionKeeper
from napari_sam2._restoring import STOPPED
from napari_sam2._sharing import leave
from napari_sam2._stacking import StackTools
from napari_sam2._state import SegmentationState

STACK = np.arange(5 * 40 * 60, dtype=np.uint16).reshape(5, 40, 60)


class Clock:
    """Calls functions when a test lets time pass."""

    def __init__(self):
        self.asked = []

    def __call__(self, seconds, function):
        self.asked.append((seconds, function))

    def tick(self):
        asked, self.asked = self.asked, []
        for _, function in asked:
            function()


@pytest.fixture
def kept(tool, tmp_path):
    t = tool(STACK)
    t.clock = Clock()
    t.tools = StackTools(t)
    t.keeper = SessionKeeper(t, tmp_path / "autosaves", t.clock)
    return t


def stroke(t, frame, label=3):
    """What napari's brush does."""
    labels = t.stage.labels
    t.viewer.dims.set_current_step(0, frame)
    labels.mode = "paint"
    labels.selected_label = label
    labels.paint((frame, 20, 20), label)


def saved(t):
    """What the only autosave holds; None without one."""
    t.clock.tick()
    if t.keeper._autosave is not None:
        t.keeper._autosave.flush()
    files = list(t.keeper.folder.glob("*.json"))
    assert len(files) < 2
    return json.loads(files[0].read_text()) if files else None


def done(t):
    return acts(saved(t))


def acts(content):
    """What was done; that it became a prompt is noted beside it."""
    return [step["do"] for step in content["steps"] if step["do"] != "note"]


def prompts(content):
    return sum(len(thing["prompts"]) for thing in content["objects"])


def test_strokes_alone_are_saved(kept):
    assert saved(kept) is None
    stroke(kept, 1)
    assert done(kept) == ["paint"]
    stroke(kept, 2)
    stroke(kept, 3)
    assert done(kept) == ["paint"] * 3
    kept.add_point((4, 30, 50))
    stroke(kept, 0, label=7)
    assert done(kept)[-1] == "paint"


def test_many_strokes_are_one_write(kept, monkeypatch):
    stroke(kept, 1)
    kept.clock.tick()
    writes = []
    monkeypatch.setattr(kept.keeper._autosave, "write", writes.append)
    for frame in range(5):
        stroke(kept, frame)
    assert writes == []
    (seconds, _), *others = kept.clock.asked
    assert 0.5 * APART < seconds <= APART
    assert others == []
    kept.clock.tick()
    assert len(writes) == 1


def test_undo_and_redo_are_saved(kept):
    stroke(kept, 1)
    kept.add_point((3, 30, 50))
    assert prompts(saved(kept)) == 2
    kept.undo()
    assert prompts(saved(kept)) == 1
    kept.redo()
    assert prompts(saved(kept)) == 2


def test_checked_frames_are_saved_and_offered(kept, tool):
    kept.viewer.dims.set_current_step(0, 2)
    kept.tools.check()
    assert saved(kept)["checked"] == [{"plane": [1, 2], "position": [2]}]
    kept.keeper._autosave.close()
    other = SessionKeeper(tool(STACK), kept.keeper.folder)
    assert other.offer.session.checked == [{"plane": [1, 2], "position": [2]}]


def test_names_locks_and_marks_are_saved(kept):
    kept.add_point((3, 30, 50))
    kept.notes.rename(1, "mother")
    kept.objects.lock(1, True)
    (thing,) = saved(kept)["objects"]
    assert (thing["name"], thing.get("locked")) == ("mother", True)
    kept.objects.lock(1, False)
    kept.viewer.dims.set_current_step(0, 4)
    kept.tools.toggle_mark("ends")
    (thing,) = saved(kept)["objects"]
    assert "locked" not in thing
    assert thing["marks"][0]["kind"] == "ends"


def test_what_was_saved_by_hand_is_not_saved_again(kept, tmp_path):
    kept.add_point((3, 30, 50))
    stroke(kept, 1)
    kept.keeper.save(tmp_path / "mine")
    assert saved(kept) is None


def test_making_tracks_of_what_was_saved_by_hand_is_no_unsaved_work(kept, tmp_path):
    kept.add_point((3, 30, 50))
    kept.keeper.save(tmp_path / "mine")
    kept.tasks.ended.emit("tracks")
    assert saved(kept) is None
    kept.add_point((3, 10, 10), object_id=2)
    assert prompts(saved(kept)) == 2


def opened(path, kept, tool):
    """A session file that was opened in another window."""
    threads = Stepper()
    other = tool(STACK, start=threads.start)
    other.clock = Clock()
    other.keeper = SessionKeeper(other, kept.keeper.folder, other.clock)
    other.keeper.load(path)
    other.clock.tick()
    threads.run()
    other.runner._start = run_inline
    return other


def test_a_session_that_was_opened_is_unsaved_work_once_it_is_changed(
    kept, tool, tmp_path
):
    kept.add_point((3, 30, 50))
    other = opened(kept.keeper.save(tmp_path / "mine"), kept, tool)
    assert saved(other) is None
    other.add_point((3, 10, 10), object_id=2)
    assert prompts(saved(other)) == 2


def test_work_done_after_a_session_was_saved_is_offered_when_that_is_opened(
    kept, tool, tmp_path
):
    """Napari crashed meanwhile."""
    kept.add_point((3, 30, 50))
    path = kept.keeper.save(tmp_path / "mine")
    kept.add_point((3, 10, 10), object_id=2)
    newer = kept.stage.labels.data.copy()
    saved(kept)
    kept.keeper._autosave.close()
    other = opened(path, kept, tool)
    assert set(np.unique(other.stage.labels.data)) == {0, 1}
    assert other.keeper.offer.session.prompt_count == 2
    other.keeper.accept_offer()
    np.testing.assert_array_equal(other.stage.labels.data, newer)
    assert other.keeper.offer is None


def test_work_that_goes_on_is_left_to_the_end_of_its_job(kept):
    waiting = []
    kept.runner._start = lambda *job: waiting.append(job)
    kept.add_point((3, 30, 50))
    kept.clock.tick()
    assert kept.keeper._autosave is None
    assert [seconds for seconds, _ in kept.clock.asked] == [APART]


def test_a_dock_that_is_closed_at_once_has_saved(kept):
    stroke(kept, 1)
    assert kept.keeper._autosave is None
    kept.keeper.finish()
    assert done(kept) == ["paint"]


def other_image(t):
    return t.viewer.add_image(STACK[::-1].copy(), name="other")


def files(t):
    """What the autosaves hold, by the name of the labels."""
    for autosave in t.keeper._open:
        autosave.flush()
    contents = [json.loads(p.read_text()) for p in t.keeper.folder.glob("*.json")]
    assert len(contents) == len({content["labels"]["name"] for content in contents})
    return {content["labels"]["name"]: content for content in contents}


def test_what_waits_is_saved_before_another_image_is_next(kept):
    stroke(kept, 1)
    kept.add_point((3, 30, 50), object_id=1)
    kept.clock.tick()
    image = kept.state.image
    stroke(kept, 2)
    kept.objects.rename(1, "mother")
    kept.objects.lock(1, True)
    kept.choose_image(other_image(kept))
    kept.clock.tick()
    (content,) = files(kept).values()
    assert content["image"]["name"] == image.name
    assert acts(content).count("paint") == 2
    things = content["objects"]
    known = {thing["id"]: (thing["name"], thing.get("locked")) for thing in things}
    assert known == {1: ("mother", True), 3: ("", None)}


def test_a_propagation_that_is_left_is_saved_as_far_as_it_came(kept, backend):
    kept.add_point((3, 30, 50))
    other = other_image(kept)
    here = kept.stage.image

    def leave():
        if backend.answers == 3:
            kept.choose_image(other)

    backend.on_answer = leave
    kept.propagate("both")
    assert kept.stage.image is other
    (content,) = files(kept).values()
    assert content["image"]["name"] == here.name
    assert [step["do"] for step in content["steps"]] == ["predict", "propagate"]


def test_each_labels_layer_has_its_own_autosave(kept, tool):
    first = kept.stage.labels
    stroke(kept, 1)
    kept.objects.rename(3, "precious")
    mine = kept.viewer.add_labels(np.zeros(STACK.shape, np.int32), name="mine")
    kept.choose_labels(mine)
    stroke(kept, 2, label=5)
    kept.objects.rename(5, "cell")
    kept.clock.tick()
    found = files(kept)
    assert [thing["name"] for thing in found[first.name]["objects"]] == ["precious"]
    assert [thing["name"] for thing in found["mine"]["objects"]] == ["cell"]
    kept.choose_labels(first)
    stroke(kept, 4)
    kept.clock.tick()
    assert acts(files(kept)[first.name]) == ["paint"] * 2  # in the file it had


def test_work_in_labels_that_are_removed_is_saved(kept):
    labels = kept.stage.labels
    stroke(kept, 1)
    kept.viewer.layers.remove(labels)
    kept.clock.tick()
    assert acts(files(kept)[labels.name]) == ["paint"]


def clear_layers(t):
    """All layers go, the newest first, as when they are selected and deleted."""
    t.viewer.layers.clear()
    for autosave in t.keeper._open:
        autosave.flush()


@pytest.mark.parametrize("going", [True, False])
def test_prompts_of_layers_that_go_one_by_one_stay_in_the_session(kept, backend, going):
    kept.add_point((3, 30, 50))
    kept.notes.rename(1, "soma")
    backend.on_answer = lambda: backend.answers == 3 and clear_layers(kept)
    if going:
        kept.propagate("both")
    else:
        kept.clock.tick()
        kept.tools.check()  # is written within a second
        clear_layers(kept)
    kept.clock.tick()
    (content,) = files(kept).values()
    assert prompts(content) == 1
    assert content["objects"][0]["name"] == "soma"
    assert acts(content) == ["predict", *["propagate"] * going]
    assert len(content["checked"]) == (not going)


def test_prompts_that_are_deleted_are_deleted_from_the_session(kept):
    kept.add_point((3, 30, 50))
    kept.viewer.layers.remove(kept.stage.points)
    kept.viewer.dims.set_current_step(0, 2)
    kept.tools.check()
    assert prompts(saved(kept)) == 0


def test_work_whose_layers_were_deleted_is_offered_with_the_image(kept):
    kept.add_point((3, 30, 50))
    kept.clock.tick()
    labels = kept.stage.labels.data.copy()
    clear_layers(kept)
    kept.choose_image(kept.viewer.add_image(STACK))
    kept.keeper.accept_offer()
    np.testing.assert_array_equal(kept.stage.labels.data, labels)
    assert len(kept.stage.points.data) == 1
    assert kept.keeper.offer is None


def test_work_in_labels_that_are_there_is_not_offered(kept):
    kept.add_point((3, 30, 50))
    first = kept.stage.image
    kept.choose_image(other_image(kept))
    kept.choose_image(kept.viewer.add_image(STACK, name="again"))
    kept.clock.tick()
    assert kept.keeper.offer is None
    kept.choose_image(first)
    assert len(kept.stage.points.data) == 1


@pytest.fixture
def twice(kept, tool):
    """A dock that finds work in two labels layers; the file of the newer one first."""
    names = [kept.stage.labels.name, "mine"]
    stroke(kept, 1, label=3)
    mine = kept.viewer.add_labels(np.zeros(STACK.shape, np.int32), name="mine")
    kept.choose_labels(mine)
    stroke(kept, 2, label=5)
    kept.clock.tick()
    for autosave, age in zip(kept.keeper._open, (100, 0), strict=True):
        autosave.close()
        stamp = autosave.path.stat().st_mtime - age
        os.utime(autosave.path, (stamp, stamp))
    other = tool(STACK)
    other.keeper = SessionKeeper(other, kept.keeper.folder)
    other.paths = [autosave.path for autosave in reversed(kept.keeper._open)]
    assert other.keeper.offer.session.labels["name"] == names[1]
    return other


def test_work_in_each_labels_layer_is_offered_the_newest_first(twice):
    twice.keeper.accept_offer()
    newer = twice.stage.labels
    assert set(np.unique(newer.data[2])) == {0, 5}
    assert twice.keeper.offer.path == twice.paths[1]
    twice.keeper.accept_offer()
    assert twice.stage.labels is not newer
    assert set(np.unique(twice.stage.labels.data[1])) == {0, 3}
    assert set(np.unique(newer.data[2])) == {0, 5}
    assert twice.keeper.offer is None
    assert not any(path.exists() for path in twice.paths)


def test_work_that_is_discarded_makes_room_for_the_next(twice):
    twice.keeper.discard_offer()
    assert [path.exists() for path in twice.paths] == [False, True]
    assert twice.keeper.offer.path == twice.paths[1]
    twice.keeper.discard_offer()
    assert twice.keeper.offer is None
    assert not twice.paths[1].exists()


def test_work_that_is_not_restored_as_it_was_is_offered_again(kept, tool, monkeypatch):
    """Labels from elsewhere that were too many for the file."""
    monkeypatch.setattr("napari_sam2._elsewhere.MAX_BYTES", 10)
    kept.choose_labels(kept.viewer.add_labels(np.zeros(STACK.shape, np.int32)))
    kept.stage.labels.data[:, :9, :9] = 7
    kept.add_point((3, 30, 50))
    kept.keeper.elsewhere.settle()
    kept.keeper.autosave()
    path = kept.keeper._autosave.path
    kept.keeper._autosave.close()
    other = tool(STACK)
    other.keeper = SessionKeeper(other, kept.keeper.folder)
    other.keeper.accept_offer()
    assert "missing" in other.state.status
    assert other.stage.labels.data[3, 30, 50] > 0
    assert other.keeper.offer.path == path
    assert path.exists()
    other.keeper.discard_offer()
    assert other.keeper.offer is None
    assert not path.exists()


def test_work_is_offered_again_if_restoring_it_is_stopped(kept, tool, backend):
    kept.add_point((3, 30, 50))
    kept.propagate("both")
    path = kept.keeper._autosave.path
    kept.keeper._autosave.close()
    other = tool(STACK)
    other.keeper = SessionKeeper(other, kept.keeper.folder)
    last = backend.answers + 3

    def stop():
        if backend.answers == last:
            other.cancel()

    backend.on_answer = stop
    other.keeper.accept_offer()
    assert not np.array_equal(other.stage.labels.data, kept.stage.labels.data)
    assert other.keeper.offer.path == path
    here = other.stage.image
    other.choose_image(other_image(other))
    assert other.keeper.offer is None
    other.choose_image(here)
    other.keeper.accept_offer()
    np.testing.assert_array_equal(other.stage.labels.data, kept.stage.labels.data)
    assert other.keeper.offer is None
    assert not path.exists()


def test_a_restore_that_a_closed_dock_has_stopped_is_offered_to_the_next(
    kept, tool, backend, tmp_path
):
    kept.add_point((3, 30, 50))
    kept.propagate("both")
    path, whole = kept.keeper._autosave.path, kept.stage.labels.data.copy()
    kept.keeper._autosave.close()
    threads = Stepper()
    first = tool(STACK, start=threads.start)
    first.keeper = SessionKeeper(first, kept.keeper.folder)
    threads.run()
    first.keeper.accept_offer()
    while first.state.done < 2:
        threads.step()
    labels, image = first.stage.labels, first.stage.image
    first.tasks.close()  # as a dock does that is closed
    first.keeper.finish()
    first.steps.leave()
    leave(first.stage, first.history)
    threads.run()
    assert list(first.keeper.folder.glob("*.json")) == [path]  # nobody has worked on it
    next_one = SegmentController(
        first.viewer, SegmentationState(), JobRunner(threads.start), Engine(backend)
    )
    next_one.keeper = SessionKeeper(next_one, kept.keeper.folder)
    notification_manager.records.clear()
    next_one.choose_image(image)
    threads.run()
    assert next_one.stage.labels is labels
    assert not np.array_equal(labels.data, whole)
    assert next_one.state.status == STOPPED
    assert [note.message for note in notification_manager.records] == [STOPPED]
    assert next_one.keeper.offer.path == path
    next_one.keeper.accept_offer()
    threads.run()
    assert next_one.stage.labels is labels
    np.testing.assert_array_equal(labels.data, whole)
    assert next_one.keeper.offer is None
    assert not path.exists()


def test_work_on_a_restore_that_was_stopped_is_saved(kept, tool, backend):
    kept.add_point((3, 30, 50))
    kept.propagate("both")
    kept.keeper._autosave.close()
    threads = Stepper()
    other = tool(STACK, start=threads.start)
    other.keeper = SessionKeeper(other, kept.keeper.folder)
    threads.run()
    other.keeper.accept_offer()
    while other.state.done < 2:
        threads.step()
    other.cancel()
    threads.run()
    assert len(list(other.keeper.folder.glob("*.json"))) == 1
    stroke(other, 1, label=7)
    threads.run()
    other.keeper.autosave()
    other.keeper._autosave.flush()
    assert len(list(other.keeper.folder.glob("*.json"))) == 2


def test_work_that_cannot_be_saved_by_itself_is_told_once(kept):
    kept.keeper.folder.parent.mkdir(exist_ok=True)
    kept.keeper.folder.write_text("a file where the folder should be")

    def warnings():
        notes = notification_manager.records
        return [n for n in notes if "could not be saved by itself" in n.message]

    before = len(warnings())
    for frame in range(3):
        stroke(kept, frame)
        kept.clock.tick()
        kept.keeper._autosave.flush()
    (note,) = warnings()[before:]
    assert "File exists" in note.message
    kept.keeper.folder.unlink()
    stroke(kept, 3)
    assert acts(saved(kept)) == ["paint"] * 4
    assert len(warnings()) == before + 1


def test_what_changes_of_a_step_after_a_save_is_unsaved_work(kept, tmp_path):
    kept.add_point((2, 30, 50))
    kept.propagate("both")
    kept.undo()
    kept.keeper.save(tmp_path / "mine")
    assert saved(kept) is None
    kept.redo()
    content = saved(kept)
    assert done(kept)[-1] == "propagate"
    assert not any(step.get("undone") for step in content["steps"])
