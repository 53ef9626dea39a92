"""From a click on a small object in a large image to its mask, in a real viewer.

An image of 8192 x 8192 pixels holds discs of 15 pixels. The window is zoomed in on one,
which is clicked; the time ends when the labels have the mask. Each click is far from
the last, so that another part of the image is read and looked at. The image is an
array, or a multiscale pyramid of dask arrays; for comparison the model also looks at
all of it. "Own" is the processor time of the process without the threads that draw.
Without a screen, start it as
``xvfb-run -a -s "-screen 0 1600x1200x24" python benchmarks/large_image.py``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path

import dask.array as da
import napari
import numpy as np
import torch
from gui_clicks import processor_time
from harness import OUT, save
from qtpy.QtWidgets import QApplication

SPACING, RADIUS = 256, 7.5
AREA = 177  # pixels of a disc
CASES = (("numpy", "auto"), ("multiscale", "auto"), ("numpy", "whole"))


def discs(size: int) -> np.ndarray:
    """(size, size) uint16, discs on a grid over noise."""
    image = np.random.default_rng(0).integers(90, 110, (size, size), dtype=np.uint16)
    y, x = np.mgrid[-8:9, -8:9]
    disc = y**2 + x**2 <= RADIUS**2
    for row in range(100, size - 100, SPACING):
        for column in range(100, size - 100, SPACING):
            image[row - 8 : row + 9, column - 8 : column + 9][disc] += 100
    return image


def measure(
    pixels: np.ndarray, kind: str, part: str, clicks: int, screenshot: str
) -> list[tuple[float, float, int]]:
    """Milliseconds on the wall, own milliseconds and pixels of the mask, by click."""
    viewer = napari.Viewer(show=True)
    if kind == "multiscale":
        level = da.from_array(pixels, chunks=(1024, 1024))
        data = [level, level[::4, ::4], level[::16, ::16]]
        viewer.add_image(data, multiscale=True, contrast_limits=(80, 260))
    else:
        viewer.add_image(pixels, contrast_limits=(80, 260))
    _, segment = viewer.window.add_plugin_dock_widget("napari-sam2", "Segment")
    segment.keeper.discard_offer()
    segment.choose_option("part", part)
    segment.wait()
    found = []
    for number in range(clicks + 1):
        row, column = 100 + SPACING * (number + 2), 100 + SPACING * 3
        viewer.scene.camera.center = (0, row, column)
        viewer.scene.camera.zoom = 4
        QApplication.processEvents()
        object_id = segment.next_object()
        began, worked = time.perf_counter(), processor_time()
        segment.add_point((row, column))
        while segment.labels.data[row, column] != object_id:
            QApplication.processEvents()
            time.sleep(0.001)
        seconds = time.perf_counter() - began, processor_time() - worked
        segment.wait()
        near = segment.labels.data[row - 100 : row + 100, column - 100 : column + 100]
        if number:  # the first one also loads what torch loads late
            area = int(np.count_nonzero(near == object_id))
            found.append((1000 * seconds[0], 1000 * seconds[1], area))
    if screenshot:
        viewer.scene.camera.zoom = 1.6
        QApplication.processEvents()
        viewer.screenshot(screenshot, canvas_only=False, flash=False)
    viewer.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=8192)
    parser.add_argument("--clicks", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--screenshot", default="", help="file for a picture")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    options.clock, options.model = "wall", "sam2_nano"
    torch.set_num_threads(options.threads)
    pixels, load = discs(options.size), os.getloadavg()[0]
    rows, curves = [], {}
    for kind, part in CASES:
        found = measure(pixels, kind, part, options.clicks, options.screenshot)
        options.screenshot = ""
        wall, own, areas = zip(*found, strict=True)
        rows.append(
            {
                "image": kind,
                "looks at": {"auto": "a part", "whole": "all of it"}[part],
                "clicks": len(found),
                "median, ms": round(statistics.median(wall)),
                "longest": round(max(wall)),
                "own, median": round(statistics.median(own)),
                "pixels of 177": f"{min(areas)} to {max(areas)}",
            }
        )
        curves[f"{kind}, {part}"] = list(enumerate(wall, 1))
        print(rows[-1], flush=True)
    notes = [
        f"{options.size}² pixels; discs of 15 pixels ({AREA} in area) in noise.",
        f"{os.cpu_count()} cores; load of the machine before: {load:.1f}.",
    ]
    title = "A click on a small object in a large image"
    save("large_image", title, options, rows, curves, ("click", "ms"), notes)


if __name__ == "__main__":
    main()
