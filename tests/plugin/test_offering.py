"""Work that was saved by itself is offered with its image."""

from __future__ import annotations

import os

import numpy as np
import pytest
from fakes import Stepper
from keeping import (
    STACK,
    clear_layers,
    other_image,
    stroke,
)
from napari.utils.notifications import notification_manager

from napari_sam2._controller import SegmentController
from napari_sam2._jobs import JobRunner
from napari_sam2._state import SegmentationState
from napari_sam2.engine._engine import Engine
from napari_sam2.sessions._keeping import SessionKeeper
from napari_sam2.sessions._restoring import STOPPED
from napari_sam2.stage._sharing import leave


def test_work_whose_layers_were_deleted_is_offered_with_the_image(saving):
    saving.add_point((3, 30, 50))
    saving.clock.tick()
    labels = saving.stage.labels.data.copy()
    clear_layers(saving)
    saving.choose_image(saving.viewer.add_image(STACK))
    saving.keeper.accept_offer()
    np.testing.assert_array_equal(saving.stage.labels.data, labels)
    assert len(saving.stage.points.data) == 1
    assert saving.keeper.offer is None


def test_work_in_labels_that_are_there_is_not_offered(saving):
    saving.add_point((3, 30, 50))
    first = saving.stage.image
    saving.choose_image(other_image(saving))
    saving.choose_image(saving.viewer.add_image(STACK, name="again"))
    saving.clock.tick()
    assert saving.keeper.offer is None
    saving.choose_image(first)
    assert len(saving.stage.points.data) == 1


@pytest.fixture
def twice(saving, tool):
    """A dock that finds work in two labels layers; the file of the newer one first."""
    names = [saving.stage.labels.name, "mine"]
    stroke(saving, 1, label=3)
    mine = saving.viewer.add_labels(np.zeros(STACK.shape, np.int32), name="mine")
    saving.choose_labels(mine)
    stroke(saving, 2, label=5)
    saving.clock.tick()
    for autosave, age in zip(saving.keeper._open, (100, 0), strict=True):
        autosave.close()
        stamp = autosave.path.stat().st_mtime - age
        os.utime(autosave.path, (stamp, stamp))
    other = tool(STACK)
    other.keeper = SessionKeeper(other, saving.keeper.folder)
    other.paths = [autosave.path for autosave in reversed(saving.keeper._open)]
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


def test_work_that_is_not_restored_as_it_was_is_offered_again(
    saving, tool, monkeypatch
):
    """Labels from elsewhere that were too many for the file."""
    monkeypatch.setattr("napari_sam2.sessions._elsewhere.MAX_BYTES", 10)
    saving.choose_labels(saving.viewer.add_labels(np.zeros(STACK.shape, np.int32)))
    saving.stage.labels.data[:, :9, :9] = 7
    saving.add_point((3, 30, 50))
    saving.keeper.elsewhere.settle()
    saving.keeper.autosave()
    path = saving.keeper._autosave.path
    saving.keeper._autosave.close()
    other = tool(STACK)
    other.keeper = SessionKeeper(other, saving.keeper.folder)
    other.keeper.accept_offer()
    assert "missing" in other.state.status
    assert other.stage.labels.data[3, 30, 50] > 0
    assert other.keeper.offer.path == path
    assert path.exists()
    other.keeper.discard_offer()
    assert other.keeper.offer is None
    assert not path.exists()


def test_work_is_offered_again_if_restoring_it_is_stopped(saving, tool, backend):
    saving.add_point((3, 30, 50))
    saving.propagate("both")
    path = saving.keeper._autosave.path
    saving.keeper._autosave.close()
    other = tool(STACK)
    other.keeper = SessionKeeper(other, saving.keeper.folder)
    last = backend.answers + 3

    def stop():
        if backend.answers == last:
            other.cancel()

    backend.on_answer = stop
    other.keeper.accept_offer()
    assert not np.array_equal(other.stage.labels.data, saving.stage.labels.data)
    assert other.keeper.offer.path == path
    here = other.stage.image
    other.choose_image(other_image(other))
    assert other.keeper.offer is None
    other.choose_image(here)
    other.keeper.accept_offer()
    np.testing.assert_array_equal(other.stage.labels.data, saving.stage.labels.data)
    assert other.keeper.offer is None
    assert not path.exists()


def half_restored(saving, tool):
    """Another dock, and its threads, two frames into restoring what was saved."""
    saving.keeper._autosave.close()
    threads = Stepper()
    other = tool(STACK, start=threads.start)
    other.keeper = SessionKeeper(other, saving.keeper.folder)
    threads.run()
    other.keeper.accept_offer()
    while other.state.done < 2:
        threads.step()
    return threads, other


def test_a_restore_that_a_closed_dock_has_stopped_is_offered_to_the_next(
    saving, tool, backend, tmp_path
):
    saving.add_point((3, 30, 50))
    saving.propagate("both")
    path, whole = saving.keeper._autosave.path, saving.stage.labels.data.copy()
    threads, first = half_restored(saving, tool)
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
    next_one.keeper = SessionKeeper(next_one, saving.keeper.folder)
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


def test_work_on_a_restore_that_was_stopped_is_saved(saving, tool, backend):
    saving.add_point((3, 30, 50))
    saving.propagate("both")
    threads, other = half_restored(saving, tool)
    other.cancel()
    threads.run()
    assert len(list(other.keeper.folder.glob("*.json"))) == 1
    stroke(other, 1, label=7)
    threads.run()
    other.keeper.autosave()
    other.keeper._autosave.flush()
    assert len(list(other.keeper.folder.glob("*.json"))) == 2
