"""Objects and stacks together: sessions, undo, marks, locks; the model is a fake."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fakes import FakeBackend
from keeping import LONG, kept_with_tools
from napari.layers import Labels

from napari_sam2.dock._lineage import LineageTools
from napari_sam2.engine._engine import Engine
from napari_sam2.following._divisions import Suspect
from napari_sam2.following._marks import ABSENT, BEGIN, END
from napari_sam2.history._history import History
from napari_sam2.history._record import Record
from napari_sam2.history._replay import Redo, apply, rerun
from napari_sam2.sessions._session_file import read_session
from napari_sam2.tasks._counting import count
from sam2_core import PromptError


@pytest.fixture
def kept(tool, tmp_path):
    return kept_with_tools(tool, tmp_path)


def at(t, frame):
    t.viewer.dims.set_current_step(0, frame)


def pair(t):
    """Two objects, followed through the stack from frame 3."""
    at(t, 3)
    t.add_point((10, 20))
    t.next_object()
    t.add_point((30, 40))
    t.propagate("both")


def repeat(t, path):
    """The labels that a replay of the saved session makes."""
    session = read_session(t.keeper.save(path))
    labels = Labels(np.zeros(session.labels["shape"], session.labels["dtype"]))
    history = History(Record(session.journal))
    for item in rerun(session.journal, LONG, Engine(FakeBackend()), lambda: False):
        if isinstance(item, Redo):
            apply(item, labels, history)
    return labels.data


def test_names_locks_and_visibility_come_back_with_a_session(kept, tmp_path):
    t = kept()
    pair(t)
    t.objects.rename(1, "mother")
    t.objects.lock(2, True)
    t.objects.hide(1, True)
    path = t.keeper.save(tmp_path / "a")
    objects = json.loads(path.read_text())["objects"]
    assert [o["name"] for o in objects] == ["mother", ""]
    assert [o.get("locked") for o in objects] == [None, True]
    other = kept()
    other.keeper.load(path)
    assert other.errors == []
    assert other.notes.all == t.notes.all
    rows = {row.object_id: row for row in other.objects.rows()}
    assert rows[1].name == "mother"
    assert not rows[1].visible
    assert rows[2].locked
    assert rows[2].frames == 9
    # A locked object came back although nothing may change it now.
    np.testing.assert_array_equal(other.stage.labels.data, t.stage.labels.data)


def test_a_new_name_is_saved_by_itself_and_never_with_another_image(kept):
    t = kept()
    pair(t)
    first = t.keeper._autosave
    t.keeper._later = lambda seconds, function: function()
    t.objects.rename(1, "mother")
    first.flush()
    assert '"mother"' in first.path.read_text()
    before = first.path.read_text()
    t.choose_image(t.viewer.add_image(LONG[::-1].copy()))
    first.flush()
    assert first.path.read_text() == before


@pytest.mark.parametrize("what", ["both", "mask", "prompts"])
def test_deletion_is_repeated(kept, tmp_path, what):
    t = kept()
    pair(t)
    t.objects.delete([2], what)
    at(t, 5)
    t.add_point((12, 24), object_id=1)
    t.propagate("forward")
    np.testing.assert_array_equal(repeat(t, tmp_path / "a"), t.stage.labels.data)


def test_a_merge_its_undo_and_redo_are_repeated(kept, tmp_path):
    t = kept()
    pair(t)
    before = t.stage.labels.data.copy()
    t.objects.merge([1, 2])
    merged = t.stage.labels.data.copy()
    assert set(np.unique(merged)) == {0, 1}
    np.testing.assert_array_equal(repeat(t, tmp_path / "a"), merged)
    t.undo()
    np.testing.assert_array_equal(t.stage.labels.data, before)
    np.testing.assert_array_equal(repeat(t, tmp_path / "b"), before)
    t.redo()
    np.testing.assert_array_equal(t.stage.labels.data, merged)
    t.add_point((3, 30, 20))  # corrects the union
    np.testing.assert_array_equal(repeat(t, tmp_path / "c"), t.stage.labels.data)


def test_daughters_merged_into_their_mother_again_stay_where_they_are(kept, tmp_path):
    t = kept()
    pair(t)
    at(t, 5)
    t.tools.toggle_mark(END, 1)  # as an answer does
    at(t, 0)
    t.tools.toggle_mark(ABSENT, 2)
    divided = {(1, 6, 0): (2, 3), (1, 6, 2): (2,)}
    for key, daughters in divided.items():
        t.history.record.answer(key, daughters, t.steps.begin("answer"))
    marks = list(t.history.record.marks)
    assert {mark.kind for mark in marks} == {ABSENT, END}
    t.objects.merge([1, 2])
    assert list(t.history.record.marks) == []
    assert t.history.record.divisions == {(1, 6, 0): (3,)}
    t.propagate("both")
    assert (t.stage.labels.data == 1).any(axis=(1, 2)).all()
    np.testing.assert_array_equal(repeat(t, tmp_path / "a"), t.stage.labels.data)
    t.undo()
    t.undo()
    assert list(t.history.record.marks) == marks
    assert t.history.record.divisions == divided


def test_an_object_without_prompts_that_is_merged_is_followed_with_the_other(kept):
    t = kept()
    found = np.zeros(LONG.shape, np.uint16)
    found[4:6, 28:38, 44:54] = 7
    t.choose_labels(t.viewer.add_labels(found))
    labels = t.stage.labels
    t.add_point((0, 10, 20), object_id=1)
    t.propagate("both")
    t.objects.merge([1, 7])
    assert [key.position for key in t.pending.prompts()] == [(0,), (4,)]
    t.propagate("both")
    assert (labels.data[4, 28:38, 44:54] == 1).all()
    assert (labels.data[0] == 1).any()


def test_what_is_known_of_merged_objects_is_that_of_their_union(kept):
    t = kept()
    pair(t)
    area = (t.stage.labels.data[5] > 0).sum()
    t.objects.merge([1, 2])
    t.tools.refresh()
    assert set(t.tools.line()) == {1}
    assert t.tools.line()[1][5].area == area
    t.undo()
    t.tools.refresh()
    assert set(t.tools.line()) == {1, 2}


def test_painting_is_repeated_and_restored(kept, tmp_path):
    t = kept()
    pair(t)
    at(t, 6)
    labels = t.stage.labels
    labels.mode = "paint"
    labels.selected_label = 1
    labels.paint(np.array((6, 30, 20)), 1)
    assert t.history.text == "painting"
    expected = labels.data.copy()
    assert expected[6, 30, 20] == 1
    np.testing.assert_array_equal(repeat(t, tmp_path / "a"), expected)
    other = kept()
    other.keeper.load(tmp_path / "a.sam2.json")
    assert other.errors == []
    np.testing.assert_array_equal(other.stage.labels.data, expected)
    assert other.stage.masks == t.stage.masks


def test_scribbles_and_negative_outlines_come_back_with_their_sign(kept, tmp_path):
    t = kept()
    at(t, 3)
    t.add_point((10, 20))
    cut = [(4, 20), (4, 40), (16, 40), (16, 20)]
    t.add_shapes([cut], "polygon", positive=False)
    t.add_shapes([[(8, 14), (12, 16)]], "path", positive=True)
    path = t.keeper.save(tmp_path / "a")
    np.testing.assert_array_equal(repeat(t, tmp_path / "b"), t.stage.labels.data)
    other = kept()
    other.keeper.load(path)
    assert other.errors == []
    assert other.starts.prompts() == t.starts.prompts()
    assert list(other.stage.shapes.features["polarity"]) == ["negative", "positive"]
    np.testing.assert_array_equal(other.stage.labels.data, t.stage.labels.data)


def test_what_was_cut_off_stays_off_where_it_was_cut_when_propagating(kept):
    t = kept()
    at(t, 3)
    t.add_point((10, 20))
    t.add_shapes([[(4, 20), (4, 40), (16, 40), (16, 20)]], "polygon", positive=False)
    before = t.stage.labels.data[3].copy()
    assert not before[10, 24]
    t.propagate("both")
    np.testing.assert_array_equal(t.stage.labels.data[3], before)


@pytest.mark.parametrize("writing", ["overwrite", "empty"])
def test_what_may_happen_to_labels_is_repeated(kept, tmp_path, writing):
    t = kept()
    at(t, 3)
    t.add_point((10, 20))
    t.state.writing = writing
    t.next_object()
    t.add_point((12, 24))
    t.objects.lock(1, True)
    t.add_point((14, 18))
    t.propagate("both")
    np.testing.assert_array_equal(repeat(t, tmp_path / "a"), t.stage.labels.data)


def test_a_lock_while_masks_stream_in_is_repeated(kept, backend, tmp_path):
    t = kept()
    pair(t)
    at(t, 3)
    t.add_point((12, 42))
    count = backend.answers

    def lock_soon():
        if backend.answers == count + 3:
            t.notes.lock(1, True)

    backend.on_answer = lock_soon
    t.propagate("forward")
    backend.on_answer = lambda: None
    rules = t.history.record.journal.entries[-1].rules
    assert [r.locked for _, r in rules] == [frozenset(), {1}]
    assert rules[1][0] > 0
    np.testing.assert_array_equal(repeat(t, tmp_path / "a"), t.stage.labels.data)


def test_neighbours_as_negative_prompts_are_repeated(kept, tmp_path):
    t = kept()
    at(t, 3)
    t.add_point((10, 20))
    t.state.neighbours = True
    t.next_object()
    t.add_point((10, 27))
    entry = t.history.record.journal.entries[-1]
    assert "others" in entry.what
    np.testing.assert_array_equal(repeat(t, tmp_path / "a"), t.stage.labels.data)


@pytest.mark.parametrize(("kind", "frame"), [(ABSENT, 6), (BEGIN, 2), (END, 6)])
def test_marks_are_undone_and_done_again(kept, tmp_path, kind, frame):
    t = kept()
    pair(t)
    at(t, frame)
    before = t.stage.labels.data.copy()
    t.tools.toggle_mark(kind)
    after = t.stage.labels.data.copy()
    assert t.tools.marks_here() == {kind}
    assert (after == 2).sum() < (before == 2).sum()
    t.undo()
    assert t.tools.marks_here() == set()
    np.testing.assert_array_equal(t.stage.labels.data, before)
    t.redo()
    assert t.tools.marks_here() == {kind}
    np.testing.assert_array_equal(t.stage.labels.data, after)
    t.propagate("both")
    np.testing.assert_array_equal(t.stage.labels.data, after)
    np.testing.assert_array_equal(repeat(t, tmp_path / "a"), after)
    other = kept()
    other.keeper.load(tmp_path / "a.sam2.json")
    assert list(other.history.record.marks) == list(t.history.record.marks)


def test_deleting_an_object_takes_its_marks_along_and_undo_brings_them_back(kept):
    t = kept()
    pair(t)
    at(t, 6)
    t.tools.toggle_mark(ABSENT)
    t.objects.delete([2])
    assert list(t.history.record.marks) == []
    t.undo()
    assert t.tools.marks_here() == {ABSENT}
    t.redo()
    assert list(t.history.record.marks) == []


def test_locked_objects_are_neither_marked_nor_divided(kept):
    t = kept()
    pair(t)
    t.objects.lock(2, True)
    at(t, 6)
    with pytest.raises(PromptError, match="locked"):
        t.tools.toggle_mark(ABSENT)
    with pytest.raises(PromptError, match="locked"):
        LineageTools(t.tools).answer(Suspect(2, 6), divided=True)
    assert (t.stage.labels.data[6] == 2).any()


def test_names_stay_when_the_prompt_layer_is_removed(kept):
    t = kept()
    pair(t)
    t.objects.rename(1, "mother")
    t.viewer.layers.remove(t.stage.points)
    assert t.notes.name(1) == "mother"
    assert t.history.text == ""


def test_corrections_follow_although_labels_are_being_counted(kept):
    t = kept()
    pair(t)
    t.state.follow_corrections = True
    count(t.tasks)
    at(t, 5)
    t.add_point((14, 24), object_id=1)
    assert t.stage.labels.data[7, 14, 24] == 1


def test_steps_that_are_forgotten_let_go_of_their_pixels(kept, monkeypatch):
    import gc
    import weakref

    t = kept()
    pair(t)
    first = weakref.ref(t.history.steps[0])
    monkeypatch.setattr("napari_sam2.history._history.MAX_STEPS", 2)
    t.next_object()
    t.next_object()
    gc.collect()
    assert first() is None


def test_merged_objects_end_where_it_was_said_of_any_of_them(kept, tmp_path):
    t = kept()
    pair(t)
    at(t, 4)
    t.tools.toggle_mark(END, 1)
    at(t, 6)
    t.tools.toggle_mark(END, 2)
    t.objects.merge([1, 2])
    # Up to frame 6 there is something of it; that it ends at 4 does not hold.
    assert [(m.object_id, m.position, m.kind) for m in t.tools.record.marks] == [
        (1, (6,), END)
    ]
    t.propagate("both")
    assert not t.stage.labels.data[7:].any()
    assert t.stage.labels.data[5].any()
    merged = t.stage.labels.data.copy()
    np.testing.assert_array_equal(repeat(t, tmp_path / "merged"), merged)
    t.undo()
    t.undo()
    assert {(m.object_id, m.position) for m in t.tools.record.marks} == {
        (1, (4,)),
        (2, (6,)),
    }
