"""Labels and prompts of an image that another has replaced are out of sight."""

from __future__ import annotations

from fakes import FLAT, click


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
