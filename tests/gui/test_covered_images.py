"""Images that cover each other, and the dock that works on one of them."""

from __future__ import annotations

import numpy as np
import pytest
from dock import open_dock

pytestmark = pytest.mark.display

STACK = np.random.default_rng(5).integers(0, 99, (3, 40, 60), dtype=np.uint8)


@pytest.fixture
def three(make_napari_viewer_proxy, fake):
    """Three images over each other, and a dock on the lowest."""
    viewer = make_napari_viewer_proxy()
    images = [viewer.add_image(STACK[0] + i, name=f"f{i}") for i in range(3)]
    segment = open_dock(viewer)
    segment.choose_image(images[0])
    segment.wait(30)
    return viewer, [viewer.layers[f"f{i}"] for i in range(3)], segment


def test_an_image_that_is_chosen_in_the_dock_is_seen(three):
    _, images, segment = three
    assert all(image.visible for image in images)  # a script did not ask for that
    chooser = segment.source.image
    for name, seen in (("f1", [True, True, False]), ("f2", [True, True, True])):
        chooser.setCurrentIndex(chooser.findText(name))
        chooser.activated.emit(chooser.currentIndex())
        assert segment.state.image.name == name
        assert [image.visible for image in images] == seen
        if name == "f1":
            assert segment.state.status == "f2 is hidden now, to show f1."
        segment.wait(30)


def test_the_dock_says_at_once_that_an_image_is_uncovered(three, qtbot):
    viewer, images, segment = three

    def covered():
        return segment.state.status.startswith("f2 covers f0")

    for image in images[1:]:
        image.visible = False
    qtbot.waitUntil(lambda: not covered(), timeout=5000)
    images[2].visible = True
    qtbot.waitUntil(covered, timeout=5000)
    images[2].opacity = 0.5
    qtbot.waitUntil(lambda: not covered(), timeout=5000)
    images[2].opacity = 1
    qtbot.waitUntil(covered, timeout=5000)
    images[2].blending = "additive"
    qtbot.waitUntil(lambda: not covered(), timeout=5000)
    images[2].blending = "translucent_no_depth"
    qtbot.waitUntil(covered, timeout=5000)
    viewer.layers.move(2, 0)
    qtbot.waitUntil(lambda: not covered(), timeout=5000)


def test_the_tool_comes_back_with_the_image(make_napari_viewer_proxy, fake, qtbot):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(STACK[0], name="A")
    segment = open_dock(viewer)
    segment.wait(30)
    segment.take_tool("box")
    above = viewer.add_image(STACK[1], name="B")
    qtbot.wait(100)
    assert segment.state.tool == ""
    above.visible = False
    qtbot.waitUntil(lambda: segment.state.tool == "box", timeout=5000)
