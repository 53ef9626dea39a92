"""What the labels show is what a click corrects, whatever the fake model remembers."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import disc

STACK = np.zeros((7, 40, 60), np.float32)


@pytest.fixture
def followed(tool):
    """Object 1, a disc about row 10, column 20 + t, on all frames."""
    t = tool(STACK)
    t.add_point((0, 10, 20))
    t.propagate("forward")
    return t


def undone(t):
    t.undo()


def deleted(t):
    t.objects.delete([1], "mask")


def away(t):
    data = t.stage.labels.data
    data[4:] = 0


def elsewhere(t):
    t.choose_labels(None)
    t.select_object(1)
    t.add_point((0, 30, 20))


@pytest.mark.parametrize("gone", [undone, deleted, away, elsewhere])
def test_a_click_brings_no_mask_back_that_the_labels_have_lost(followed, gone):
    t = followed
    gone(t)
    assert not t.stage.labels.data[5].any()
    t.select_object(1)
    t.add_point((5, 30, 40))
    np.testing.assert_array_equal(t.stage.labels.data[5] == 1, disc((40, 60), 40, 30))


def other_contrast(t):
    t.stage.image.contrast_limits = (0, 7)


def other_session(t):
    t.tasks.engine.close()


def locked_for_a_while(t):
    t.objects.lock(1, True)
    t.next_object()
    t.add_point((5, 30, 50))
    t.objects.lock(1, False)
    t.select_object(1)


def nothing(t):
    pass


@pytest.mark.parametrize(
    "change",
    [nothing, other_contrast, other_session, locked_for_a_while],
)
def test_a_mask_is_corrected_whether_the_model_remembers_it_or_not(followed, change):
    t = followed
    change(t)
    t.select_object(1)
    expected = disc((40, 60), 25, 10)
    np.testing.assert_array_equal(t.stage.labels.data[5] == 1, expected)
    t.add_point((5, 10, 30), positive=False)
    expected &= ~disc((40, 60), 30, 10)
    np.testing.assert_array_equal(t.stage.labels.data[5] == 1, expected)
    assert expected.any()


def test_a_mask_whose_prompts_are_gone_is_corrected(followed):
    t = followed
    t.objects.delete([1], "prompts")
    t.select_object(1)
    t.add_point((5, 10, 30), positive=False)
    before, cut = disc((40, 60), 25, 10), disc((40, 60), 30, 10)
    found = t.stage.labels.data[5] == 1
    assert found[before & ~cut].all()
    assert not found[cut].any()


@pytest.mark.parametrize("change", [other_contrast, other_session, locked_for_a_while])
def test_what_was_corrected_stays_so_whatever_the_model_forgets(followed, change):
    t = followed
    t.add_point((5, 10, 30), positive=False)
    expected = disc((40, 60), 25, 10) & ~disc((40, 60), 30, 10)
    change(t)
    t.propagate("forward")
    np.testing.assert_array_equal(t.stage.labels.data[5] == 1, expected)
    np.testing.assert_array_equal(
        t.stage.labels.data[6] == 1, np.roll(expected, 1, axis=1)
    )


def test_the_model_keeps_locked_objects_in_mind(followed, backend):
    t = followed
    t.add_point((5, 10, 30), positive=False)
    t.objects.lock(1, True)
    t.next_object()
    before = t.stage.labels.data == 1
    t.add_point((0, 30, 50))
    t.propagate("forward")
    (session,) = backend.sessions
    assert set(session.prompts) == {(0, 1), (5, 1), (0, 2)}
    np.testing.assert_array_equal(t.stage.labels.data == 1, before)
    assert (t.stage.labels.data == 2).any((1, 2)).all()
    asked = backend.answers
    t.objects.lock(1, False)
    t.propagate("forward")
    assert backend.answers == asked + len(STACK)  # nothing was asked again
