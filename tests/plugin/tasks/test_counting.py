"""Labels are counted in the background, whatever becomes of them meanwhile."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import disc

import napari_sam2.tasks._counting as counting
from napari_sam2._jobs import run_inline
from napari_sam2.sessions._elsewhere import Elsewhere

SHAPE = (6, 40, 60)


def labelled(object_id):
    data = np.zeros(SHAPE, np.uint16)
    data[:, :5, 5 * object_id : 5 * object_id + 5] = object_id
    return data


@pytest.fixture
def half(tool, monkeypatch):
    """Labels with object 1 are chosen, and the first planes of them are counted."""
    monkeypatch.setattr(counting, "SECONDS", 0)
    t = tool(np.zeros(SHAPE, np.float32))
    t.elsewhere, waiting = Elsewhere(t), []
    t.runner._start = lambda *job: waiting.append(job)
    t.choose_labels(t.viewer.add_labels(labelled(1)))
    while len(t.ledger.uncounted) > 3:
        run_inline(*waiting.pop(0))
    items, on_item, on_exhausted, _ = waiting.pop(0)  # this one is still at work

    def work():
        run_inline(items, on_item, on_exhausted)
        while waiting:
            run_inline(*waiting.pop(0))

    t.work = work
    return t


def areas(t):
    ids = t.ledger.ids
    return {i: sum(t.ledger.area(i, at) for at in t.ledger.places(i)) for i in ids}


def test_an_array_exchanged_meanwhile_is_counted_instead(half):
    half.stage.labels.data = labelled(9)
    half.viewer.dims.set_current_step(0, 2)
    half.stage.add_point((2, 20, 30))  # waits for the count
    half.work()
    assert half.ledger.uncounted == {}
    assert half.state.object_id == 10
    added = disc(SHAPE[1:], 30, 20)
    np.testing.assert_array_equal(half.stage.labels.data[2] == 10, added)
    assert areas(half) == {9: 6 * 25, 10: added.sum()}
    half.objects.delete([9])
    half.work()
    assert not (half.stage.labels.data == 9).any()
    assert half.errors == []


def test_who_counts_the_rest_at_once_ends_the_job(half):
    half.ids.count()
    assert areas(half) == {1: 6 * 25}
    half.work()
    assert areas(half) == {1: 6 * 25}
    assert not half.runner.busy
