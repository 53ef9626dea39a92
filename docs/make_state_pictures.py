"""Makes the pictures of what a user meets now and then, for the page on napari.

Names on the command line choose among them: hover, region, division, offer, plane, 3d,
channels. Each makes ``images/state_NAME.png``; the division makes two.

Needs what ``make_screenshots.py`` needs, and is started like it.
"""

from __future__ import annotations

import os
import sys
import tempfile

import napari
import numpy as np
from make_screenshots import AMBIGUOUS, open_window, prompt_cells, save, settle
from scipy.ndimage import gaussian_filter, gaussian_gradient_magnitude

from napari_sam2._sample_data import sample_cells, sample_nuclei
from napari_sam2.demo import CLICKS_XY, FRAME

TILES = 5  # of the smear, mirrored at their borders, along each side of a large image


def show(*layers: dict[str, object]) -> tuple[napari.Viewer, object]:
    """A window with images and the dock."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1600, 1000)
    for layer in layers:
        viewer.add_image(**layer)
    _, segment = viewer.window.add_plugin_dock_widget("napari-sam2", "Segment")
    settle()
    viewer.reset_view(margin=0.02)
    segment.wait(900)
    return viewer, segment


def click(segment: object, *positions: tuple[float, ...]) -> None:
    """One object for each position."""
    for number, position in enumerate(positions):
        if number:
            segment.next_object()
        segment.add_point(position)
        segment.wait(900)


def dividing() -> np.ndarray:
    """A time-lapse of drawn cells, one of which divides: (12, 200, 260) uint8."""
    rows, columns = np.mgrid[:200, :260]
    noise = np.random.default_rng(0)

    def cell(row: float, column: float, radius: float) -> np.ndarray:
        return (rows - row) ** 2 + (columns - column) ** 2 < radius**2

    frames = []
    for t in range(12):
        frame = cell(60, 190 + 2 * t, 14) + 0.8 * cell(150, 180, 13)
        row = 70 + 5 * t
        if t < 6:
            frame += cell(row, 80, 16)
        else:
            apart = 10 + 4 * (t - 6)
            frame += cell(row, 80 - apart, 12) | cell(row, 80 + apart, 12)
        smooth = gaussian_filter(frame.astype(float), 1.5)
        frames.append(20 + 180 * smooth + noise.normal(0, 5, frame.shape))
    return np.clip(frames, 0, 255).astype(np.uint8)


def picture_hover() -> None:
    """The mask that a click would give, under the cursor."""
    viewer, segment = open_window("cells")
    segment.keeper.discard_offer()
    prompt_cells(segment)
    segment.next_object()
    segment.choose_option("hover", True)
    segment.folds["options"].header.setChecked(True)
    segment.hover.look(AMBIGUOUS)
    segment.wait(900)
    save(viewer, "state_hover.png")
    viewer.close()


def picture_region() -> None:
    """A part of a large image, outlined, and two cells in it."""
    ((cells, _, _),) = sample_cells()
    row = [cells, cells[:, ::-1]] * TILES
    rows = [np.hstack(row[:TILES])] * TILES
    large = np.vstack([r if i % 2 == 0 else r[::-1] for i, r in enumerate(rows)])
    viewer, segment = show({"data": large, "name": "smear"})
    height, width = cells.shape
    top, left = 2 * height, 2 * width
    camera = viewer.scene.camera
    camera.center, camera.zoom = (0, top + 480, left + 500), 1.5
    settle()
    segment.add_box((top + 517, left + 244), (top + 622, left + 336))
    segment.wait(900)
    segment.next_object()
    segment.add_box((top + 371, left + 322), (top + 467, left + 458))
    segment.wait(900)
    camera.zoom = 1.1  # back, so that the outline is seen
    save(viewer, "state_region.png")
    viewer.close()


def picture_division() -> None:
    """The question whether a cell divided, and the tracks once it is answered."""
    frame, row = 7, 105
    axes = ("t", "y", "x")
    viewer, segment = show({"data": dividing(), "name": "cells", "axis_labels": axes})
    viewer.dims.set_current_step(0, 2)
    click(segment, (80, 80), (60, 194), (150, 180))
    segment.propagate()
    segment.wait(900)
    viewer.dims.set_current_step(0, frame)
    settle()
    masks = segment.labels.data[frame]
    empty = [column for column in (66, 94) if masks[row, column] == 0]
    if empty:  # the model follows one half: the other is clicked
        segment.next_object()
        segment.add_point((row, empty[0]))
        segment.wait(900)
        segment.propagate("forward")
        segment.wait(900)
    save(viewer, "state_division.png")
    segment.lineage.answer(segment.lineage.suspects()[0], True)
    segment.wait(900)
    segment.make_tracks()
    segment.wait(900)
    tracks = segment.lineage.tracks
    tracks.tail_width, tracks.tail_length, tracks.head_length = 6, 12, 0
    viewer.dims.set_current_step(0, frame + 2)
    segment.session_fold.header.setChecked(True)
    save(viewer, "state_tracks.png")
    viewer.close()


def picture_offer() -> None:
    """The same image is opened again after its window was lost."""
    viewer, segment = open_window("nuclei")
    viewer.dims.set_current_step(0, FRAME)
    click(segment, *[(y, x) for x, y in list(CLICKS_XY.values())[:5]])
    settle(1)
    saved = {path: path.read_bytes() for path in segment.keeper.folder.glob("*.json")}
    viewer.close()
    settle()
    for path, content in saved.items():  # as a crash would have left them
        path.write_bytes(content)
        for lock in path.parent.glob("*.lock"):
            lock.unlink()
    viewer, segment = open_window("nuclei", alone=False)
    segment.wait(900)
    save(viewer, "state_offer.png")
    segment.keeper.discard_offer()
    viewer.close()


def picture_plane() -> None:
    """Nuclei prompted from the side, in XZ."""
    viewer, segment = open_window("nuclei")
    segment.keeper.discard_offer()
    y = 138
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_point(1, viewer.layers["nuclei"].data_to_world((0, y, 0))[1])
    settle()
    viewer.reset_view(margin=0.02)
    click(segment, (22, y, 189), (22, y, 240))
    save(viewer, "state_xz.png")
    viewer.close()


def picture_3d() -> None:
    """Labels in 3D display, where prompts have no plane."""
    viewer, segment = open_window("nuclei")
    segment.keeper.discard_offer()
    viewer.dims.set_current_step(0, FRAME)
    click(segment, *[(y, x) for x, y in list(CLICKS_XY.values())[:5]])
    segment.propagate("both", FRAME - 6, FRAME + 5)
    segment.wait(1200)
    viewer.dims.ndisplay = 3
    viewer.scene.camera.angles = (10, 25, 50)
    viewer.layers["nuclei"].opacity = 0.4
    save(viewer, "state_3d.png")
    viewer.close()


def picture_channels() -> None:
    """Two channels, blended for the model as they are on screen."""
    ((nuclei, _, _),) = sample_nuclei()
    plane = nuclei[FRAME].astype(float)
    rims = gaussian_gradient_magnitude(plane, 1.5)  # for want of a second stain
    viewer, segment = show(
        {"data": plane, "name": "nuclei", "colormap": "magenta"},
        {"data": rims, "name": "rims", "colormap": "green", "blending": "additive"},
    )
    segment.choose_image(viewer.layers["nuclei"])
    segment.choose_option("sees", "shown")
    segment.folds["source"].header.setChecked(True)
    click(segment, *[(y, x) for x, y in list(CLICKS_XY.values())[:3]])
    save(viewer, "state_channels.png")
    viewer.close()


PICTURES = {
    "hover": picture_hover,
    "region": picture_region,
    "division": picture_division,
    "offer": picture_offer,
    "plane": picture_plane,
    "3d": picture_3d,
    "channels": picture_channels,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or PICTURES:
        # Without the unsaved work of whoever makes them, and of the one before.
        with tempfile.TemporaryDirectory() as home:
            os.environ["NAPARI_SAM2_HOME"] = home
            PICTURES[name]()
