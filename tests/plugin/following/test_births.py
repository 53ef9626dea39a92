"""Daughters that are followed back in time leave their mother's pixels alone."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FakeBackend, disc

from napari_sam2.dock._lineage import LineageTools
from napari_sam2.dock._stacking import StackTools
from napari_sam2.engine._engine import Engine
from napari_sam2.following._births import Births
from napari_sam2.following._divisions import Suspect
from napari_sam2.following._marks import BEGIN, END
from napari_sam2.history._history import History
from napari_sam2.history._record import Record
from napari_sam2.history._replay import Redo, apply, rerun
from napari_sam2.sessions._keeping import SessionKeeper
from napari_sam2.sessions._session_file import read_session

SHAPE = (40, 60)
STACK = np.zeros((9, *SHAPE), np.float32)
SPLIT = 4  # first frame after the division
MOTHER = disc(SHAPE, 30, 20, 10)
HALVES = {20: disc(SHAPE, 20, 20, 7), 40: disc(SHAPE, 40, 20, 7)}


class Dividing(FakeBackend):
    """A cell that divides; whoever is prompted at a half is followed into the whole."""

    def session(self, model, frames):
        session = super().session(model, frames)

        def mask(index, object_id):
            if index < SPLIT:
                # Two objects in one cell never come out quite alike.
                return np.roll(MOTHER, object_id - 1, axis=0)
            prompts = next(p for (_, i), p in session.prompts.items() if i == object_id)
            (x, _), *_ = prompts[0]
            return HALVES[40 if x > 30 else 20]

        session._mask = mask
        return session


@pytest.fixture
def lapse(tool, tmp_path):
    t = tool(STACK)
    t.tasks.engine = Engine(Dividing())
    t.tools = StackTools(t)
    t.lineage = LineageTools(t.tools)
    t.keeper = SessionKeeper(t, tmp_path / "autosaves")
    return t


def at(t, frame):
    t.viewer.dims.set_current_step(0, frame)


def click_mother(t):
    at(t, 2)
    t.add_point((20, 35))


def click_daughter(t, frame=SPLIT, x=20):
    at(t, frame)
    t.next_object()
    t.add_point((20, x))


def check(t, daughter=2, mother=1):
    """The mother is whole, and the daughter begins after the division."""
    labels = t.stage.labels.data
    for frame in range(SPLIT):
        whole = np.roll(MOTHER, mother - 1, axis=0)
        np.testing.assert_array_equal(labels[frame] == mother, whole)
        assert not (labels[frame] == daughter).any()
    for frame in range(SPLIT, len(STACK)):
        np.testing.assert_array_equal(labels[frame] == daughter, HALVES[20])
        np.testing.assert_array_equal(labels[frame] == mother, HALVES[40])


def check_question(t):
    (suspect,) = t.lineage.suspects()
    assert suspect == Suspect(1, SPLIT, 2)


@pytest.mark.parametrize("frame", [SPLIT, SPLIT + 2])
@pytest.mark.parametrize("screen", [0, 3, 8])
@pytest.mark.parametrize("patience", [True, False])
def test_both_at_once(lapse, frame, screen, patience):
    lapse.state.stop_when_lost = patience
    click_mother(lapse)
    click_daughter(lapse, frame)
    at(lapse, screen)
    lapse.propagate("both")
    check(lapse)
    check_question(lapse)
    lapse.propagate("both")
    check(lapse)
    check_question(lapse)


def test_a_mother_that_is_there_keeps_her_frames_whenever_she_was_prompted(lapse):
    at(lapse, 7)
    lapse.add_point((20, 40))
    lapse.propagate("both")
    click_daughter(lapse)
    lapse.propagate("both")
    check(lapse)
    check_question(lapse)


def test_the_daughter_alone(lapse):
    click_mother(lapse)
    lapse.propagate("both")
    lapse.state.alone = True
    click_daughter(lapse, 6)
    lapse.propagate("both")
    check(lapse)
    check_question(lapse)


def test_a_daughter_of_whom_what_has_changed_is_carried(lapse):
    click_mother(lapse)
    lapse.propagate("both")
    click_daughter(lapse)
    lapse.propagate(changes={1, 2})
    check(lapse)
    check_question(lapse)


def test_sisters_that_are_clicked_on_one_frame(lapse):
    at(lapse, 5)
    lapse.add_point((20, 40))
    click_daughter(lapse, 5)
    lapse.propagate("both")
    check(lapse)
    check_question(lapse)


def test_what_was_wrong_before_is_mended(lapse, monkeypatch):
    click_mother(lapse)
    click_daughter(lapse)
    monkeypatch.setattr("napari_sam2.following._births.INSIDE", 2.0)
    lapse.propagate("both")
    assert (lapse.stage.labels.data[:SPLIT] == 2).any()
    monkeypatch.undo()
    lapse.propagate("both")
    check(lapse)


def test_nobody_is_born_from_a_mother_who_has_ended(lapse):
    """What she would look like beyond her end is nothing to run into."""
    at(lapse, 1)
    lapse.add_point((20, 35))
    lapse.tools.toggle_mark(END)
    click_daughter(lapse)
    lapse.propagate("both")
    labels = lapse.stage.labels.data
    for frame in (2, 3):
        mine = np.roll(MOTHER, 1, axis=0)
        np.testing.assert_array_equal(labels[frame] == 2, mine)
    assert np.flatnonzero((labels == 1).any((1, 2))).tolist() == [0, 1]
    assert not (labels[:2] == 2).any()


def test_yes_is_a_beginning_that_can_be_undone(lapse):
    click_mother(lapse)
    click_daughter(lapse)
    lapse.propagate("both")
    lapse.lineage.answer(lapse.lineage.suspects()[0], divided=True)
    assert lapse.lineage.suspects() == []
    (mark,) = lapse.history.record.marks
    assert (mark.object_id, mark.position, mark.kind) == (2, (SPLIT,), BEGIN)
    lapse.propagate("both")
    check(lapse)
    assert lapse.lineage.suspects() == []
    lapse.lineage.make_tracks()
    tracks = lapse.lineage.tracks
    assert {k: list(v) for k, v in tracks.graph.items()} == {2: [1], 3: [1]}
    goes_on = tracks.data[:, 0] == 3  # the mother's label, after the division
    assert set(tracks.features["label"][goes_on]) == {1}
    assert tracks.data[goes_on, 1].tolist() == list(range(SPLIT, len(STACK)))
    lapse.undo()
    lapse.undo()
    assert len(lapse.history.record.marks) == 0
    check_question(lapse)


def test_who_overwrites_gets_what_is_there(lapse):
    """Labels of other tools are not mothers, nor is anything where it may go."""
    click_mother(lapse)
    lapse.propagate("both")
    lapse.state.update(alone=True, writing="overwrite")
    click_daughter(lapse)
    lapse.propagate("both")
    assert (lapse.stage.labels.data == 2).any((1, 2)).all()


def test_labels_that_nobody_followed_do_not_end_an_object(lapse):
    at(lapse, SPLIT)
    lapse.add_point((20, 20))
    labels = lapse.stage.labels.data
    labels[2][MOTHER] = 99
    lapse.propagate("both")
    np.testing.assert_array_equal(labels[2] == 99, MOTHER)
    for frame in (0, 1, 3):
        np.testing.assert_array_equal(labels[frame] == 1, MOTHER)


@pytest.mark.parametrize("alone", [False, True])
def test_a_session_says_the_same(lapse, tmp_path, alone):
    click_mother(lapse)
    lapse.propagate("both")
    lapse.state.alone = alone
    click_daughter(lapse, 6)
    lapse.propagate("both")
    session = read_session(lapse.keeper.save(tmp_path / "a"))

    class Labels:
        name, data = "labels", np.zeros(STACK.shape, np.uint16)

    history = History(Record(session.journal))
    for item in rerun(session.journal, STACK, Engine(Dividing()), lambda: False):
        if isinstance(item, Redo):
            apply(item, Labels, history)
    np.testing.assert_array_equal(Labels.data, lapse.stage.labels.data)


def test_where_the_model_keeps_masks_apart_the_mother_gets_her_pixels_back():
    left = np.arange(60) < 27
    masks = {1: MOTHER & left, 2: MOTHER & ~left}
    lost = {(1, 2): int((MOTHER & ~left).sum()), (2, 1): int((MOTHER & left).sum())}
    births = Births({1: 2, 2: 5}, {})
    born = births.find(1, masks, lost)
    assert born == {2: (1, 1.0)}
    assert births.begins == {2: 2}
    np.testing.assert_array_equal(masks[1], MOTHER)


def test_neighbours_that_touch_are_no_mothers():
    one, other = disc(SHAPE, 20, 20, 8), disc(SHAPE, 31, 20, 8)
    assert (one & other).any()
    births = Births({1: 2, 2: 5}, {})
    assert births.find(3, {1: one, 2: other}, {}) == {}
    assert births.find(6, {1: one, 2: one}, {}) == {}  # prompted before: its own
