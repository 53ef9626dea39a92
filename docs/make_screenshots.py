"""Makes the pictures of the docs: the docks, and those of both tutorials.

Names on the command line choose among them: 2d, stack, objects, empty, automatic,
image (image_click, image_cells, image_search, image_fixed), tutorial (five nuclei
through 12 slices: stack_clicks, stack_propagation, review, review_light), docks (all
states of the docks at 320 pixels, in the dark and the light theme) and docks_200 (some
of them at a scaling of 200 %).

Needs a screen and the bundled model; without a screen, start it as
``xvfb-run -a -s "-screen 0 1600x1200x24" python docs/make_screenshots.py``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import napari
from napari.settings import get_settings
from qtpy.QtCore import Qt
from qtpy.QtGui import QPainter, QPixmap
from qtpy.QtWidgets import QApplication, QDockWidget

from napari_sam2.demo import CLICKS_XY, FRAME
from sam2_core.errors import OutOfMemoryError

if TYPE_CHECKING:
    from collections.abc import Callable

WIDTH, GAP = 320, 8  # pixels of a dock, and between docks side by side
IMAGES = Path(__file__).parent / "images"
CELLS = (
    ("point", (415, 400), True),
    ("point", (577, 414), True),
    ("point", (716, 554), True),
    ("box", (900, 712), (942, 746)),
    ("point", (497, 111), True),
    ("point", (518, 816), True),
)
AMBIGUOUS = (590, 280)  # beside a nucleus: the cell, or a part of it
HOME = tempfile.TemporaryDirectory()


def settle(seconds: float = 0.5) -> None:
    """Let the window draw itself."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def at_home_alone() -> None:
    """From now on without the unsaved work of others, and of earlier windows."""
    os.environ["NAPARI_SAM2_HOME"] = tempfile.mkdtemp(dir=HOME.name)


def open_window(
    sample: str, dock: str = "Segment", alone: bool = True
) -> tuple[napari.Viewer, object]:
    """A window of 1600 x 1000 with a sample image and a dock."""
    if alone:
        at_home_alone()
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1600, 1000)
    viewer.open_sample("napari-sam2", sample)
    _, widget = viewer.window.add_plugin_dock_widget("napari-sam2", dock)
    settle()
    viewer.reset_view(margin=0.02)
    return viewer, widget


def save(viewer: napari.Viewer, name: str) -> None:
    """Take the picture."""
    settle()
    IMAGES.mkdir(exist_ok=True)
    viewer.screenshot(str(IMAGES / name), canvas_only=False, flash=False)


def prompt_cells(segment: object) -> None:
    """A few cells, each from one click or a box."""
    for number, (kind, where, more) in enumerate(CELLS):
        if number:
            segment.next_object()
        if kind == "point":
            segment.add_point(where, more)
        else:
            segment.add_box(where, more)
        segment.wait(900)


def picture_2d() -> None:
    """A few cells, each from one click or a box."""
    viewer, segment = open_window("cells")
    prompt_cells(segment)
    segment.next_object()
    segment.add_point(AMBIGUOUS)
    segment.wait(900)
    save(viewer, "dock_2d.png")
    viewer.close()


def picture_objects() -> None:
    """The table of a tracked stack: names, a lock, a hidden object; and options."""
    viewer, segment = open_window("nuclei")
    viewer.dims.set_current_step(0, FRAME)
    for number, (x, y) in CLICKS_XY.items():
        if number > 1:
            segment.next_object()
        segment.add_point((y, x))
    segment.wait(900)
    segment.propagate("both", FRAME - 2, FRAME + 2)
    segment.wait(900)
    segment.objects.rename(1, "elongated")
    segment.objects.rename(2, "neighbour")
    segment.objects.lock(2, True)
    segment.objects.hide(3, True)
    segment.objects.jump(1)
    segment.folds["options"].header.setChecked(True)
    save(viewer, "dock_objects.png")
    viewer.close()


def picture_empty() -> None:
    """The dock before there is anything to segment, in napari's light theme."""
    theme = get_settings().appearance.theme
    get_settings().appearance.theme = "light"
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1600, 1000)
    viewer.window.add_plugin_dock_widget("napari-sam2", "Segment")
    save(viewer, "dock_empty_light.png")
    viewer.close()
    get_settings().appearance.theme = theme


def picture_stack() -> None:
    """Nuclei clicked on one slice, while they are followed through the others."""
    viewer, segment = open_window("nuclei")
    viewer.dims.set_current_step(0, FRAME)
    for number, (x, y) in CLICKS_XY.items():
        if number > 1:
            segment.next_object()
        segment.add_point((y, x))
    segment.wait()
    segment.propagate("both")
    state = segment.state
    while state.busy and state.done < 0.6 * (state.total or 40):
        settle(0.05)
    viewer.dims.set_current_step(0, FRAME + 4)
    save(viewer, "dock_stack.png")
    segment.cancel()
    segment.wait()
    viewer.close()


def picture_automatic() -> None:
    """Everything that was found in the smear, before it is added."""
    viewer, automatic = open_window("cells", "Automatic")
    automatic.search()
    automatic.wait()
    automatic.filter(max_area=40000)
    save(viewer, "automatic.png")
    viewer.close()


def picture_image() -> None:
    """An image from the first click to everything in it, corrected and named."""
    viewer, segment = open_window("cells")
    segment.keeper.discard_offer()
    segment.add_point(AMBIGUOUS)
    segment.wait(900)
    save(viewer, "image_click.png")
    segment.undo()
    segment.wait()
    prompt_cells(segment)
    save(viewer, "image_cells.png")
    _, automatic = viewer.window.add_plugin_dock_widget(
        "napari-sam2", "Automatic", tabify=True
    )
    automatic.search()
    automatic.wait(900)
    automatic.filter(max_area=40000)
    raise_dock(automatic)
    save(viewer, "image_search.png")
    ids = automatic.add_to_labels()
    raise_dock(segment)
    segment.objects.rename(1, "first")
    segment.objects.lock(1, True)
    segment.objects.jump(ids[len(ids) // 2])
    save(viewer, "image_fixed.png")
    viewer.close()


def raise_dock(widget: object) -> None:
    """Bring the dock of a widget before those it shares its place with."""
    dock_of(widget).raise_()
    settle()


def picture_tutorial() -> None:
    """A stack from the first click to the review, in the dark and the light theme."""
    viewer, segment = open_window("nuclei")
    segment.keeper.discard_offer()
    viewer.dims.set_current_step(0, FRAME)
    for number, (x, y) in enumerate(list(CLICKS_XY.values())[:5]):
        if number:
            segment.next_object()
        segment.add_point((y, x))
    segment.wait()
    save(viewer, "stack_clicks.png")
    state = segment.state
    state.update(start=FRAME - 6, stop=FRAME + 5)
    segment.propagate("both")
    while state.busy and state.done < 7:
        settle(0.05)
    viewer.dims.set_current_step(0, FRAME + 4)
    save(viewer, "stack_propagation.png")
    segment.wait(1200)
    segment.check_frame()
    viewer.dims.set_current_step(0, FRAME)
    segment.check_frame()
    segment.next_uncertain()
    save(viewer, "review.png")
    viewer.theme = "light"
    segment.stack.more.header.setChecked(True)
    segment.session_fold.header.setChecked(True)
    save(viewer, "review_light.png")
    viewer.close()


def dock_of(widget: object) -> QDockWidget:
    """The dock that a widget is in."""
    while not isinstance(widget, QDockWidget):
        widget = widget.parent()
    return widget


def narrow(sample: str, dock: str = "Segment") -> tuple[napari.Viewer, object]:
    """A smaller window, with the dock at its narrowest."""
    at_home_alone()
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1100, 900)
    if sample:
        viewer.open_sample("napari-sam2", sample)
    _, widget = viewer.window.add_plugin_dock_widget("napari-sam2", dock)
    settle()
    viewer.window._qt_window.resizeDocks([dock_of(widget)], [WIDTH], Qt.Horizontal)
    widget.wait(900)
    return viewer, widget


def taken(viewer: napari.Viewer, widget: object) -> QPixmap:
    """The dock as it is; then its window is closed."""
    settle()
    pixmap = dock_of(widget).grab()
    viewer.close()
    settle()
    return pixmap


def empty() -> QPixmap:
    """Nothing is open yet."""
    return taken(*narrow(""))


def clicked() -> QPixmap:
    """One click on a cell, which may mean three things."""
    viewer, segment = narrow("cells")
    segment.add_point(AMBIGUOUS)
    segment.wait(900)
    return taken(viewer, segment)


def reviewed() -> QPixmap:
    """A stack that was followed, in the middle of its review."""
    viewer, segment = narrow("nuclei")
    viewer.dims.set_current_step(0, FRAME)
    for number, (x, y) in enumerate(list(CLICKS_XY.values())[:5]):
        if number:
            segment.next_object()
        segment.add_point((y, x))
    segment.wait(900)
    segment.propagate("both", FRAME - 6, FRAME + 5)
    segment.wait(1200)
    segment.check_frame()
    viewer.dims.set_current_step(0, FRAME)
    segment.check_frame()
    segment.next_uncertain()
    return taken(viewer, segment)


def searched() -> QPixmap:
    """The Automatic dock, with candidates to choose from."""
    viewer, automatic = narrow("cells", "Automatic")
    automatic.search()
    automatic.wait(900)
    automatic.filter(max_area=40000)
    return taken(viewer, automatic)


def short_of_memory() -> QPixmap:
    """What is offered when a GPU has not enough memory, and all folds open."""
    viewer, segment = narrow("nuclei")
    viewer.dims.set_current_step(0, FRAME)
    x, y = next(iter(CLICKS_XY.values()))
    segment.add_point((y, x))
    segment.wait(900)
    segment.state.update(model="sam2.1_hiera_large", device="cuda", missing={})
    segment.controller.tasks.fail(
        OutOfMemoryError(
            "Not enough memory to run the model: use a smaller model, fewer prompts at "
            "once or the CPU, or close other programs."
        )
    )
    for name in ("options", "source"):
        segment.folds[name].header.setChecked(True)
    return taken(viewer, segment)


def picture_docks(name: str, theme: str, *pictures: Callable[[], QPixmap]) -> None:
    """The docks at their narrowest, side by side."""
    before = get_settings().appearance.theme
    get_settings().appearance.theme = theme
    found = [picture() for picture in pictures]
    get_settings().appearance.theme = before
    ratio = found[0].devicePixelRatio()
    gap = round(GAP * ratio)
    widths, heights = zip(*[(p.width(), p.height()) for p in found], strict=True)
    sheet = QPixmap(sum(widths) + gap * (len(found) - 1), max(heights))
    sheet.fill(Qt.white if theme == "dark" else Qt.black)
    painter, left = QPainter(sheet), 0
    for pixmap in found:
        pixmap.setDevicePixelRatio(1)
        painter.drawPixmap(left, 0, pixmap)
        left += pixmap.width() + gap
    painter.end()
    sheet.save(str(IMAGES / name))


def picture_docks_200() -> None:
    """The same at a scaling of 200 %, which a program gets when it starts."""
    if os.environ.get("QT_SCALE_FACTOR") != "2":
        scaled = os.environ | {"QT_SCALE_FACTOR": "2"}
        command = [sys.executable, __file__, "docks_200"]
        subprocess.run(command, env=scaled, check=True)
    else:
        picture_docks("docks_200.png", "dark", clicked, reviewed, short_of_memory)


if __name__ == "__main__":
    at_home_alone()
    everything = "2d", "stack", "objects", "empty", "automatic", "image", "tutorial"
    everything += "docks", "docks_200"
    wanted = sys.argv[1:] or everything
    if "2d" in wanted:
        picture_2d()
    if "stack" in wanted:
        picture_stack()
    if "objects" in wanted:
        picture_objects()
    if "empty" in wanted:
        picture_empty()
    if "automatic" in wanted:
        picture_automatic()
    if "image" in wanted:
        picture_image()
    if "tutorial" in wanted:
        picture_tutorial()
    states = empty, clicked, reviewed, searched, short_of_memory
    if "docks" in wanted or "docks_dark" in wanted:
        picture_docks("docks_dark.png", "dark", *states)
    if "docks" in wanted or "docks_light" in wanted:
        picture_docks("docks_light.png", "light", *states)
    if "docks_200" in wanted:
        picture_docks_200()
    HOME.cleanup()  # at exit, Qt would be gone and a worker could not tell of it
