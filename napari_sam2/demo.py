"""The demo: nuclei clicked on one slice of a real z-stack, followed through the rest.

The clicks were measured once on ground truth (tests/data/cells3d_nuclei_labels.tif):
each is the innermost pixel of one nucleus on the middle slice, the one with the largest
distance to the outline.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sam2_core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import napari
    from numpy.typing import NDArray

    from napari_sam2.widgets.segment import SegmentWidget

    Say = Callable[[str], object]

FRAME = 20
CLICKS_XY = {
    1: (32, 138),
    2: (51, 184),
    3: (75, 34),
    4: (85, 218),
    5: (112, 156),
    6: (109, 71),
    7: (161, 96),
    8: (173, 202),
    9: (192, 139),
    10: (225, 46),
}


def load_sample() -> tuple[NDArray[Any], dict[str, Any]]:
    """The z-stack that ships with the plugin, (Z, Y, X), and its layer's attributes."""
    from napari_sam2._sample_data import sample_nuclei

    try:
        ((stack, attributes, _),) = sample_nuclei()
    except OSError as error:
        raise ImageError(
            f"The sample is missing from this installation ({error}): install "
            "napari-sam2 again."
        ) from error
    return np.asarray(stack), attributes


def segment_sample(
    stack: NDArray[Any],
    value_range: tuple[float, float],
    model: str,
    device: str,
    dtype: str,
    say: Say,
) -> NDArray[np.uint16]:
    """Click every nucleus once on the middle slice and propagate both ways.

    Parameters
    ----------
    stack : ndarray, (Z, Y, X)
        The sample.
    value_range : (float, float)
        Values shown as black and white.
    model, device, dtype : str
        As for :func:`sam2_core.load_model`.
    say : callable
        Called with a line after each step.

    Returns
    -------
    ndarray, (Z, Y, X) uint16
        The nuclei, numbered as in :data:`CLICKS_XY`.
    """
    from tqdm import tqdm

    from sam2_core.frames import open_frames
    from sam2_core.label_files import combine_masks
    from sam2_core.models import load_model
    from sam2_core.video import VideoSession

    shape = (stack.shape[1], stack.shape[2])
    labels = np.zeros(stack.shape, np.uint16)
    clicks: list[float] = []
    with _timed() as load:
        network = load_model(model, device, dtype)
    say(f"  load {model} on {network.device}: {load[0]:.2f} s")
    session = VideoSession(network, open_frames(stack, value_range))
    for object_id, xy in CLICKS_XY.items():
        with _timed() as click:
            session.add_prompts(
                FRAME,
                object_id,
                point_coords=np.array([xy], np.float32),
                point_labels=np.array([1], np.int32),
            )
        clicks += click
    say(f"  encode slice {FRAME} and answer the first click: {clicks[0] * 1e3:.0f} ms")
    say(f"  each further click: {np.median(clicks[1:]) * 1e3:.0f} ms")
    n, frames = len(CLICKS_XY), len(stack)
    with _timed() as propagate, tqdm(total=frames, disable=None, leave=False) as bar:
        for result in session.propagate(direction="both"):
            labels[result.frame_index] = combine_masks(result.masks, shape)
            bar.update()
    say(
        f"  propagate {n} nuclei through {frames} slices: {propagate[0]:.1f} s "
        f"({frames / propagate[0]:.2f} slices/s)"
    )
    return labels


def run_headless(folder: Path, model: str, device: str, dtype: str, say: Say) -> None:
    """Do the work without a window; write ``demo_labels.tif`` and ``demo.png``.

    Parameters
    ----------
    folder : Path
        Where the two files go; they are replaced if they are there.
    model, device, dtype : str
        As for :func:`sam2_core.load_model`.
    say : callable
        Called with each line for the user.

    Raises
    ------
    Sam2Error
        The sample or the weights are missing, or the files cannot be written.
    """
    from napari_sam2.demo_figure import draw_figure, save_picture
    from sam2_core.label_files import LabelWriter

    labels_path, picture_path = folder / "demo_labels.tif", folder / "demo.png"
    stack, attributes = load_sample()
    z, y, x = stack.shape
    scale, name = attributes["scale"], Path(model).name
    with LabelWriter(labels_path, stack.shape, overwrite=True) as file:
        say(f"Sample: confocal z-stack of cell nuclei, {z} slices of {x} x {y} pixels.")
        say(f"{len(CLICKS_XY)} nuclei are clicked once on slice {FRAME}.")
        labels = segment_sample(
            stack, attributes["contrast_limits"], model, device, dtype, say
        )
        with _timed() as drawing:
            for index, frame in enumerate(labels):
                file.write(frame, index)
            picture = draw_figure(
                stack, labels, FRAME, CLICKS_XY, name, scale[0] / scale[2]
            )
            save_picture(picture_path, picture)
    say(f"  write labels and picture: {drawing[0]:.1f} s")
    found = len(np.unique(labels[labels > 0]))
    say(f"{found} labelled nuclei: {labels_path} and {picture_path}")


def why_no_window() -> str:
    """Why napari cannot open a window here; "" if it can."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return "there is no display."
    if os.environ.get("QT_QPA_PLATFORM") in {"offscreen", "minimal", "vnc"}:
        return "QT_QPA_PLATFORM asks for none."
    # Qt ends the process when its libraries or the display fail, so another one tries.
    code = "from qtpy.QtWidgets import QApplication; QApplication([])"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "Qt does not start."
    if done.returncode == 0:
        return ""
    if b"QtBindingsNotFoundError" in done.stderr or b"No Qt bindings" in done.stderr:
        return 'there is no Qt: pip install "napari-sam2[all]".'
    return "Qt does not start, the README lists the system packages it needs."


def run_in_napari(
    model: str, device: str, say: Say, block: bool = True
) -> tuple[napari.Viewer, SegmentWidget]:
    """Open napari with the stack, the clicks, the propagated labels and the dock.

    Parameters
    ----------
    model, device : str
        As for :func:`sam2_core.load_model`.
    say : callable
        Called with each line for the user.
    block : bool
        Whether to return only when the window is closed.

    Returns
    -------
    viewer, segment
        The window, and the dock widget in it. Propagation goes on in the background.
    """
    import napari

    viewer = napari.Viewer(title="napari-sam2 demo")
    try:
        (nuclei,) = viewer.open_sample("napari-sam2", "nuclei")
        viewer.dims.set_current_step(0, FRAME)
        _, segment = viewer.window.add_plugin_dock_widget("napari-sam2", "Segment")
        segment.choose_model(model, device)
        segment.choose_image(nuclei)
        n = len(CLICKS_XY)
        with _timed() as clicks:
            for object_id, (x, y) in CLICKS_XY.items():
                segment.add_point((y, x), positive=True, object_id=object_id)
            segment.wait()
        say(f"load {model}, encode slice {FRAME}, answer {n} clicks: {clicks[0]:.1f} s")
        _report_propagation(segment, say)
        segment.propagate("both")
    except BaseException:
        viewer.close()
        raise
    if block:
        napari.run()
    return viewer, segment


def _report_propagation(segment: SegmentWidget, say: Say) -> None:
    """Say how long the propagation took when it has ended."""
    begin = time.perf_counter()
    busy = segment.state.events.busy

    def report(now: str) -> None:
        if now or not segment.state.total:
            return
        seconds, done = time.perf_counter() - begin, segment.state.done
        say(f"propagate {len(CLICKS_XY)} nuclei through {done} slices: {seconds:.1f} s")
        busy.disconnect(report)

    busy.connect(report)


@contextmanager
def _timed() -> Iterator[list[float]]:
    """The list holds the seconds of the block once it has ended."""
    seconds: list[float] = []
    begin = time.perf_counter()
    try:
        yield seconds
    finally:
        seconds.append(time.perf_counter() - begin)
