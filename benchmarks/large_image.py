"""From a click on a small object in a large image to its mask, in a real viewer.

An image of 8192 x 8192 pixels holds discs of 15 pixels. The window is zoomed in on one,
which is clicked; the time ends when the labels have the mask. Without a screen, start
it as ``xvfb-run -a -s "-screen 0 1600x1200x24" python benchmarks/large_image.py``;
``--part whole`` lets the model look at all of the image, for comparison.
"""

from __future__ import annotations

import argparse
import statistics
import time

import dask.array as da
import napari
import numpy as np
from qtpy.QtWidgets import QApplication

SPACING, RADIUS = 256, 7.5


def discs(size: int) -> np.ndarray:
    """(size, size) uint16, discs on a grid over noise."""
    image = np.random.default_rng(0).integers(90, 110, (size, size), dtype=np.uint16)
    y, x = np.mgrid[-8:9, -8:9]
    disc = y**2 + x**2 <= RADIUS**2
    for row in range(100, size - 100, SPACING):
        for column in range(100, size - 100, SPACING):
            image[row - 8 : row + 9, column - 8 : column + 9][disc] += 100
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=8192)
    parser.add_argument("--clicks", type=int, default=5)
    parser.add_argument("--part", choices=("auto", "whole"), default="auto")
    parser.add_argument("--kind", choices=("numpy", "multiscale"), default="numpy")
    parser.add_argument("--screenshot", default="", help="file for a picture")
    options = parser.parse_args()
    pixels = discs(options.size)
    viewer = napari.Viewer(show=True)
    if options.kind == "multiscale":
        level = da.from_array(pixels, chunks=(1024, 1024))
        data = [level, level[::4, ::4], level[::16, ::16]]
        viewer.add_image(data, multiscale=True, contrast_limits=(80, 260))
    else:
        viewer.add_image(pixels, contrast_limits=(80, 260))
    _, segment = viewer.window.add_plugin_dock_widget("napari-sam2", "Segment")
    segment.choose_option("part", options.part)
    segment.wait()
    seconds, busy = [], []
    for number in range(options.clicks):
        row, column = 100 + SPACING * (number + 2), 100 + SPACING * 3
        viewer.scene.camera.center = (0, row, column)
        viewer.scene.camera.zoom = 4
        QApplication.processEvents()
        object_id = segment.next_object()
        began, cpu = time.perf_counter(), time.process_time()
        segment.add_point((row, column))
        while segment.labels.data[row, column] != object_id:
            QApplication.processEvents()
            time.sleep(0.001)
        seconds.append(time.perf_counter() - began)
        busy.append(time.process_time() - cpu)
        segment.wait()
        area = np.count_nonzero(segment.labels.data == object_id)
        print(
            f"click {number + 1}: {seconds[-1]:.2f} s, {busy[-1]:.2f} s of processor "
            f"time, model {segment.state.click_ms:.0f} ms, {area} pixels of 177"
        )
    print(f"median {statistics.median(seconds):.2f} s, {statistics.median(busy):.2f} s")
    if options.screenshot:
        viewer.scene.camera.zoom = 1.6
        QApplication.processEvents()
        viewer.screenshot(options.screenshot, canvas_only=False, flash=False)
    viewer.close()


if __name__ == "__main__":
    main()
