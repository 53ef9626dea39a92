"""Labels and prompts of an image that another has replaced are out of sight."""

from __future__ import annotations

import pytest
from fakes import FLAT, click

from napari_sam2 import _sharing
from napari_sam2._controller import SegmentController
from napari_sam2._engine import Engine
from napari_sam2._jobs import JobRunner, run_inline
from napari_sam2._state import SegmentationState


def test_layers_are_hidden_until_their_image_comes_back(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    first, labels, points = t.state.image, t.stage.labels, t.stage.points
    t.choose_image(t.viewer.add_image(FLAT + 1))
    assert not labels.visible
    assert not points.visible
    assert t.stage.labels.visible
    t.choose_image(first)
    assert labels.visible
    assert points.visible


def test_what_the_user_hides_stays_hidden(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    first, labels = t.state.image, t.stage.labels
    labels.visible = False
    t.choose_image(t.viewer.add_image(FLAT + 1))
    t.choose_image(first)
    assert not labels.visible


def test_an_image_elsewhere_hides_nothing(tool):
    t = tool(FLAT)
    click(t, 10, 20)
    labels = t.stage.labels
    t.choose_image(t.viewer.add_image(FLAT, translate=(0, 70)))
    assert t.stage.labels is not labels
    assert labels.visible


@pytest.fixture
def fields(tool):
    """A prompted image, another one that replaced it, and the labels of the first."""
    t = tool(FLAT)
    click(t, 10, 20)
    first, labels = t.state.image, t.stage.labels
    t.choose_image(t.viewer.add_image(FLAT + 1))
    assert not labels.visible
    return t, first, labels


def test_labels_that_are_chosen_for_another_image_are_seen(fields):
    t, first, labels = fields
    t.choose_labels(labels)
    assert labels.visible
    t.choose_image(first)
    assert labels.visible


def test_labels_of_an_image_that_is_removed_are_seen(fields):
    t, first, labels = fields
    t.viewer.layers.remove(first)
    assert labels.visible
    assert t.stage.labels is not labels


@pytest.mark.parametrize("removed", [False, True])
def test_the_next_dock_shows_what_the_last_one_has_hidden(fields, backend, removed):
    t, first, labels = fields
    second, points = t.state.image, t.stage.remembered[first][0]
    _sharing.leave(t.stage, t.history, t.notes)
    t.stage.remembered.clear()  # a dock that is closed shows nothing
    assert not labels.visible
    new = SegmentController(
        t.viewer, SegmentationState(), JobRunner(run_inline), Engine(backend)
    )
    new.choose_image(second)
    if removed:
        t.viewer.layers.remove(first)
    else:
        new.choose_image(first)
        assert new.stage.labels is labels
    assert labels.visible
    assert points.visible
