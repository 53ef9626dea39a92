"""What the model sees of a real window: blends, large images, planes of a stack."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from dock import open_dock
from mouse import click
from qtpy.QtWidgets import QApplication

from napari_sam2._state import SegmentationState
from napari_sam2.picture._outline import NAME
from napari_sam2.picture._sight import Sight
from sam2_core.registry import is_available

pytestmark = pytest.mark.display

RNG = np.random.default_rng(2)
STACK = RNG.integers(0, 99, (16, 24, 40), dtype=np.uint8)


# -- blends -----------------------------------------------------------------------


def test_the_model_sees_what_the_canvas_shows(make_napari_viewer):
    viewer = make_napari_viewer(show=True)
    rows, columns = np.mgrid[:60, :80]
    nuclei = (1000 + 900 * np.sin(rows / 9)).astype(np.uint16)
    membrane = (columns / 80).astype(np.float32)
    image = viewer.add_image(
        nuclei, colormap="green", contrast_limits=(200, 1700), gamma=1.4
    )
    viewer.add_image(
        membrane,
        colormap="magenta",
        contrast_limits=(0.1, 0.8),
        blending="additive",
        opacity=0.8,
    )
    sight = Sight(viewer, SegmentationState(sees="shown"))
    for colormap in ("magenta", "viridis"):
        viewer.layers[-1].colormap = colormap
        drawn = viewer.export_figure(flash=False)[..., :3].astype(int)
        seen = sight.frames(image, (0, 1), (), None).frame(0).astype(int)
        assert drawn.shape == seen.shape
        assert np.abs(drawn - seen).max() <= 3


def test_the_dock_says_what_is_shown(make_napari_viewer_proxy, fake):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(STACK[0], name="nuclei", colormap="green")
    segment = open_dock(viewer)
    segment.wait(30)
    viewer.add_image(STACK[1], name="membrane", colormap="magenta", blending="additive")
    viewer.add_image(STACK[2, :10], name="small", visible=False)
    panel = segment.seeing
    panel.sees.setCurrentIndex(panel.sees.findData("shown"))
    panel.sees.activated.emit(panel.sees.currentIndex())
    assert segment.state.sees == "shown"
    assert panel.channels.text() == "nuclei, membrane"
    viewer.layers["small"].visible = True
    assert panel.channels.text().endswith("Not small: another shape or place.")
    viewer.layers["membrane"].visible = False
    assert panel.channels.text().startswith("nuclei. Not")
    panel.looks_changed.emit()
    segment.wait(30)
    encoded = len(fake.encoded)
    viewer.layers["membrane"].visible = True
    assert panel._settle.isActive()  # encoded ahead once things have settled
    panel._settle.stop()
    panel.looks_changed.emit()
    segment.wait(30)
    assert len(fake.encoded) == encoded + 1
    segment.add_point((10, 20))
    segment.wait(30)
    assert len(fake.encoded) == encoded + 1
    assert fake.encoded[-1][..., 0].any()
    assert segment.labels.data[10, 20] == 1


# -- large images -----------------------------------------------------------------

SIZE, SPACING, RADIUS = 8192, 256, 7.5


def discs(rows, columns):
    """Discs of 15 pixels on a grid, whatever part of it."""
    y = (rows - 100) % SPACING - (rows - 100 > SIZE) * SPACING
    x = (columns - 100) % SPACING
    y, x = np.minimum(y, SPACING - y), np.minimum(x, SPACING - x)
    return y**2 + x**2 <= RADIUS**2


@pytest.fixture
def pyramid():
    """8192 x 8192 pixels that are made when they are read; and what was read."""
    read = []

    def make(block_info=None):
        (top, bottom), (left, right) = block_info[None]["array-location"]
        read.append((top, left))
        rows, columns = np.mgrid[top:bottom, left:right]
        noise = np.random.default_rng(top * SIZE + left).integers(80, 100, rows.shape)
        return (noise + 90 * discs(rows, columns)).astype(np.uint8)

    chunks = ((512,) * 16,) * 2
    level = da.map_blocks(make, chunks=chunks, dtype=np.uint8, meta=np.empty((0, 0)))
    return [level, level[::4, ::4], level[::16, ::16]], read


@pytest.mark.skipif(not is_available("sam2_nano"), reason="no bundled weights yet")
def test_a_small_disc_in_a_large_image(make_napari_viewer, pyramid, qtbot):
    levels, read = pyramid
    viewer = make_napari_viewer(show=True)
    viewer.add_image(levels, multiscale=True, contrast_limits=(60, 200))
    segment = open_dock(viewer)
    segment.wait(120)
    row, column = 100 + 12 * SPACING, 100 + 20 * SPACING
    viewer.scene.camera.center = (0, row, column)
    viewer.scene.camera.zoom = 4
    QApplication.processEvents()
    read.clear()
    click(segment.controller.stage.points, (row, column), viewer)
    segment.wait(120)
    assert len(read) <= 16  # chunks, of 256
    window = np.s_[row - 30 : row + 31, column - 30 : column + 31]
    labels = segment.labels.data
    rows, columns = np.mgrid[window]
    expected, found = discs(rows, columns), labels[window] == 1
    assert (found & expected).sum() / (found | expected).sum() > 0.8
    assert np.count_nonzero(labels[row - 500 : row + 500]) == found.sum()
    outline = viewer.layers[NAME]
    low, high = outline.data[0].min(0), outline.data[0].max(0)
    assert (low < (row, column)).all()
    assert ((row, column) < high).all()
    assert (high - low).max() < 700
    assert viewer.layers.selection.active is segment.controller.stage.points
    del viewer.layers[NAME]  # seen enough of it
    segment.next_object()
    segment.add_point((row, column + SPACING))
    segment.wait(120)
    assert labels[row, column + SPACING] == 2
    assert NAME not in viewer.layers


# -- planes -----------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (0, 2, 1)])
def test_prompts_in_any_plane_of_a_stack(make_napari_viewer_proxy, fake, order):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(STACK, scale=(2, 0.5, 0.5), translate=(3, 4, 5))
    viewer.dims.order = order
    segment = open_dock(viewer)
    segment.wait(30)
    image = viewer.layers["STACK"] if "STACK" in viewer.layers else viewer.layers[0]
    voxel, across = (8, 12, 20), order[0]
    world = image.data_to_world(voxel)
    viewer.dims.set_point(across, world[across])
    click(segment.controller.stage.points, world, viewer)
    segment.wait(30)
    found = np.argwhere(segment.labels.data == 1)
    assert segment.labels.data[voxel] == 1
    assert np.ptp(found, axis=0)[across] == 0
    assert (np.ptp(found, axis=0)[list(order[1:])] >= 10).all()
    assert segment.state.axis == across
    segment.add_box((9, 13), (14, 18))
    segment.wait(30)
    segment.propagate("both")
    segment.wait(30)
    other = tuple(axis for axis in range(3) if axis != across)
    assert segment.labels.data.any(other).all()
    segment.undo()
    segment.undo()
    segment.undo()
    segment.wait(30)
    assert not segment.labels.data.any()


def test_rolling_the_axes_between_prompts(make_napari_viewer_proxy, fake):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(STACK)
    segment = open_dock(viewer)
    segment.wait(30)
    viewer.dims.set_current_step(0, 8)
    click(segment.controller.stage.points, (8, 12, 20), viewer)
    segment.wait(30)
    viewer.dims.roll()
    across = viewer.dims.order[0]
    viewer.dims.set_current_step(across, (8, 12, 20)[across])
    assert segment.state.axis == across
    segment.next_object()
    world = [4, 5, 33]
    world[across] = (8, 12, 20)[across]
    click(segment.controller.stage.points, world, viewer)
    segment.wait(30)
    labels = segment.labels.data
    assert labels[tuple(world)] == 2
    assert np.ptp(np.argwhere(labels == 2), axis=0)[across] == 0
    assert np.ptp(np.argwhere(labels == 1), axis=0)[0] == 0
    segment.propagate("both")
    segment.wait(30)
    # The first object was prompted in another plane and stays as it is.
    assert np.ptp(np.argwhere(segment.labels.data == 1), axis=0)[0] == 0
    viewer.dims.order = (0, 1, 2)
    viewer.dims.set_current_step(0, 8)
    segment.choose_object(1)
    segment.propagate("both")
    segment.wait(30)
    assert (segment.labels.data == 1).any((1, 2)).all()


@pytest.mark.parametrize("axis", [0, 1])
def test_4d_along_either_axis(make_napari_viewer_proxy, fake, axis):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(RNG.integers(0, 99, (5, 6, 24, 40), dtype=np.uint8))
    viewer.dims.set_current_step((0, 1), (2, 3))
    segment = open_dock(viewer)
    segment.wait(30)
    segment.choose_axis(axis)
    click(segment.controller.stage.points, (2, 3, 12, 20), viewer)
    segment.wait(30)
    segment.propagate("both")
    segment.wait(30)
    found = segment.labels.data.any((2, 3))
    line = found[:, 3] if axis == 0 else found[2]
    assert line.all()
    assert found.sum() == line.size


def test_3d_display_explains_itself(make_napari_viewer_proxy, fake):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(STACK)
    segment = open_dock(viewer)
    segment.wait(30)
    viewer.dims.ndisplay = 3
    assert "2D display" in segment.state.status
    click(segment.controller.stage.points, (8, 12, 20), viewer)
    segment.wait(30)
    assert "2D display" in segment.state.status
    assert len(segment.controller.stage.points.data) == 0
    assert not segment.labels.data.any()
    viewer.dims.ndisplay = 2
    assert "2D display" not in segment.state.status
    viewer.dims.set_current_step(0, 8)
    click(segment.controller.stage.points, (8, 12, 20), viewer)
    segment.wait(30)
    assert segment.labels.data[8, 12, 20] == 1


def test_nothing_is_drawn_on_frames_without_points(make_napari_viewer, fake):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.full((5, 50, 50), 128, np.uint8), contrast_limits=(0, 255))
    _, segment = viewer.window.add_plugin_dock_widget("napari-sam2", "Segment")
    segment.wait(30)
    viewer.dims.set_current_step(0, 2)
    segment.add_point((20, 20))
    segment.wait(30)
    viewer.dims.set_current_step(0, 4)

    def picture():
        QApplication.processEvents()
        return viewer.screenshot(canvas_only=True, flash=False).astype(int)

    points = segment.controller.stage.points
    shown = picture()
    points.visible = False
    assert np.abs(picture() - shown).max() <= 2
    points.visible = True
    viewer.dims.set_current_step(0, 2)
    assert points.canvas_size_limits[0] > 0
    shown = picture()
    points.visible = False
    assert np.abs(picture() - shown).max() > 50
