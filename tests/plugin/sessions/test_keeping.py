"""Work that is saved by itself, also where no job runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fakes import Stepper
from keeping import (
    STACK,
    Clock,
    acts,
    clear_layers,
    done,
    other_image,
    prompts,
    saved,
    stroke,
)
from napari.utils.notifications import notification_manager

from napari_sam2._jobs import run_inline
from napari_sam2.sessions._keeping import APART, SessionKeeper


def test_strokes_alone_are_saved(saving):
    assert saved(saving) is None
    stroke(saving, 1)
    assert done(saving) == ["paint"]
    stroke(saving, 2)
    stroke(saving, 3)
    assert done(saving) == ["paint"] * 3
    saving.add_point((4, 30, 50))
    stroke(saving, 0, label=7)
    assert done(saving)[-1] == "paint"


def test_many_strokes_are_one_write(saving, monkeypatch):
    stroke(saving, 1)
    saving.clock.tick()
    writes = []
    monkeypatch.setattr(saving.keeper._autosave, "write", writes.append)
    for frame in range(5):
        stroke(saving, frame)
    assert writes == []
    (seconds, _), *others = saving.clock.asked
    assert 0.5 * APART < seconds <= APART
    assert others == []
    saving.clock.tick()
    assert len(writes) == 1


def test_undo_and_redo_are_saved(saving):
    stroke(saving, 1)
    saving.add_point((3, 30, 50))
    assert prompts(saved(saving)) == 2
    saving.undo()
    assert prompts(saved(saving)) == 1
    saving.redo()
    assert prompts(saved(saving)) == 2


def test_checked_frames_are_saved_and_offered(saving, tool):
    saving.viewer.dims.set_current_step(0, 2)
    saving.tools.check()
    assert saved(saving)["checked"] == [{"plane": [1, 2], "position": [2]}]
    saving.keeper._autosave.close()
    other = SessionKeeper(tool(STACK), saving.keeper.folder)
    assert other.offer.session.checked == [{"plane": [1, 2], "position": [2]}]


def test_names_locks_and_marks_are_saved(saving):
    saving.add_point((3, 30, 50))
    saving.notes.rename(1, "mother")
    saving.objects.lock(1, True)
    (thing,) = saved(saving)["objects"]
    assert (thing["name"], thing.get("locked")) == ("mother", True)
    saving.objects.lock(1, False)
    saving.viewer.dims.set_current_step(0, 4)
    saving.tools.toggle_mark("ends")
    (thing,) = saved(saving)["objects"]
    assert "locked" not in thing
    assert thing["marks"][0]["kind"] == "ends"


def test_what_was_saved_by_hand_is_not_saved_again(saving, tmp_path):
    saving.add_point((3, 30, 50))
    stroke(saving, 1)
    saving.keeper.save(tmp_path / "mine")
    assert saved(saving) is None


def test_making_tracks_of_what_was_saved_by_hand_is_no_unsaved_work(saving, tmp_path):
    saving.add_point((3, 30, 50))
    saving.keeper.save(tmp_path / "mine")
    saving.tasks.ended.emit("tracks")
    assert saved(saving) is None
    saving.add_point((3, 10, 10), object_id=2)
    assert prompts(saved(saving)) == 2


def opened(path, saving, tool):
    """A session file that was opened in another window."""
    threads = Stepper()
    other = tool(STACK, start=threads.start)
    other.clock = Clock()
    other.keeper = SessionKeeper(other, saving.keeper.folder, other.clock)
    other.keeper.load(path)
    other.clock.tick()
    threads.run()
    other.runner._start = run_inline
    return other


def test_a_session_that_was_opened_is_unsaved_work_once_it_is_changed(
    saving, tool, tmp_path
):
    saving.add_point((3, 30, 50))
    other = opened(saving.keeper.save(tmp_path / "mine"), saving, tool)
    assert saved(other) is None
    other.add_point((3, 10, 10), object_id=2)
    assert prompts(saved(other)) == 2


def test_work_done_after_a_session_was_saved_is_offered_when_that_is_opened(
    saving, tool, tmp_path
):
    """Napari crashed meanwhile."""
    saving.add_point((3, 30, 50))
    path = saving.keeper.save(tmp_path / "mine")
    saving.add_point((3, 10, 10), object_id=2)
    newer = saving.stage.labels.data.copy()
    saved(saving)
    saving.keeper._autosave.close()
    other = opened(path, saving, tool)
    assert set(np.unique(other.stage.labels.data)) == {0, 1}
    assert other.keeper.offer.session.prompt_count == 2
    other.keeper.accept_offer()
    np.testing.assert_array_equal(other.stage.labels.data, newer)
    assert other.keeper.offer is None


def test_work_that_goes_on_is_left_to_the_end_of_its_job(saving):
    waiting = []
    saving.runner._start = lambda *job: waiting.append(job)
    saving.add_point((3, 30, 50))
    saving.clock.tick()
    assert saving.keeper._autosave is None
    assert [seconds for seconds, _ in saving.clock.asked] == [APART]


def test_a_dock_that_is_closed_at_once_has_saved(saving):
    stroke(saving, 1)
    assert saving.keeper._autosave is None
    saving.keeper.finish()
    assert done(saving) == ["paint"]


def files(t):
    """What the autosaves hold, by the name of the labels."""
    for autosave in t.keeper._open:
        autosave.flush()
    contents = [json.loads(p.read_text()) for p in t.keeper.folder.glob("*.json")]
    assert len(contents) == len({content["labels"]["name"] for content in contents})
    return {content["labels"]["name"]: content for content in contents}


def test_what_waits_is_saved_before_another_image_is_next(saving):
    stroke(saving, 1)
    saving.add_point((3, 30, 50), object_id=1)
    saving.clock.tick()
    image = saving.state.image
    stroke(saving, 2)
    saving.objects.rename(1, "mother")
    saving.objects.lock(1, True)
    saving.choose_image(other_image(saving))
    saving.clock.tick()
    (content,) = files(saving).values()
    assert content["image"]["name"] == image.name
    assert acts(content).count("paint") == 2
    things = content["objects"]
    known = {thing["id"]: (thing["name"], thing.get("locked")) for thing in things}
    assert known == {1: ("mother", True), 3: ("", None)}


def test_a_propagation_that_is_left_is_saved_as_far_as_it_came(saving, backend):
    saving.add_point((3, 30, 50))
    other = other_image(saving)
    here = saving.stage.image

    def leave():
        if backend.answers == 3:
            saving.choose_image(other)

    backend.on_answer = leave
    saving.propagate("both")
    assert saving.stage.image is other
    (content,) = files(saving).values()
    assert content["image"]["name"] == here.name
    assert [step["do"] for step in content["steps"]] == ["predict", "propagate"]


def test_each_labels_layer_has_its_own_autosave(saving, tool):
    first = saving.stage.labels
    stroke(saving, 1)
    saving.objects.rename(3, "precious")
    mine = saving.viewer.add_labels(np.zeros(STACK.shape, np.int32), name="mine")
    saving.choose_labels(mine)
    stroke(saving, 2, label=5)
    saving.objects.rename(5, "cell")
    saving.clock.tick()
    found = files(saving)
    assert [thing["name"] for thing in found[first.name]["objects"]] == ["precious"]
    assert [thing["name"] for thing in found["mine"]["objects"]] == ["cell"]
    saving.choose_labels(first)
    stroke(saving, 4)
    saving.clock.tick()
    assert acts(files(saving)[first.name]) == ["paint"] * 2  # in the file it had


def test_work_in_labels_that_are_removed_is_saved(saving):
    labels = saving.stage.labels
    stroke(saving, 1)
    saving.viewer.layers.remove(labels)
    saving.clock.tick()
    assert acts(files(saving)[labels.name]) == ["paint"]


@pytest.mark.parametrize("going", [True, False])
def test_prompts_of_layers_that_go_one_by_one_stay_in_the_session(
    saving, backend, going
):
    saving.add_point((3, 30, 50))
    saving.notes.rename(1, "soma")
    backend.on_answer = lambda: backend.answers == 3 and clear_layers(saving)
    if going:
        saving.propagate("both")
    else:
        saving.clock.tick()
        saving.tools.check()  # is written within a second
        clear_layers(saving)
    saving.clock.tick()
    (content,) = files(saving).values()
    assert prompts(content) == 1
    assert content["objects"][0]["name"] == "soma"
    assert acts(content) == ["predict", *["propagate"] * going]
    assert len(content["checked"]) == (not going)


def test_prompts_that_are_deleted_are_deleted_from_the_session(saving):
    saving.add_point((3, 30, 50))
    saving.viewer.layers.remove(saving.stage.points)
    saving.viewer.dims.set_current_step(0, 2)
    saving.tools.check()
    assert prompts(saved(saving)) == 0


def test_work_that_cannot_be_saved_by_itself_is_told_once(saving):
    saving.keeper.folder.parent.mkdir(exist_ok=True)
    saving.keeper.folder.write_text("a file where the folder should be")

    def warnings():
        notes = notification_manager.records
        return [n for n in notes if "could not be saved by itself" in n.message]

    before = len(warnings())
    for frame in range(3):
        stroke(saving, frame)
        saving.clock.tick()
        saving.keeper._autosave.flush()
    (note,) = warnings()[before:]
    assert "File exists" in note.message
    saving.keeper.folder.unlink()
    stroke(saving, 3)
    assert acts(saved(saving)) == ["paint"] * 4
    assert len(warnings()) == before + 1


def test_what_changes_of_a_step_after_a_save_is_unsaved_work(saving, tmp_path):
    saving.add_point((2, 30, 50))
    saving.propagate("both")
    saving.undo()
    saving.keeper.save(tmp_path / "mine")
    assert saved(saving) is None
    saving.redo()
    content = saved(saving)
    assert done(saving)[-1] == "propagate"
    assert not any(step.get("undone") for step in content["steps"])
