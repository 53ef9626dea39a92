"""From a mouse click to its mask on the screen, in a real viewer.

The clock starts when the button of the mouse comes up again, which makes the prompt,
and stops when the canvas has been drawn with the mask. Before that the button is down
for ``--press`` milliseconds, as people's clicks last. Clicks are for new objects, on a
picture of cells and on a stack of nuclei; a "first" click is on a frame that was never
clicked, a "correction" a second click for the same object. "Own" is the processor time
of the click without that of the threads that draw by software, and without waiting for
cores that other programs use: what is left where a graphics card draws and nothing else
is going on. Without a screen, start it as
``xvfb-run -a -s "-screen 0 1600x1200x24" python benchmarks/gui_clicks.py``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
import torch
from harness import OUT, save
from qtpy.QtCore import QEventLoop, QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from vispy.gloo import gl

from napari_sam2.demo import CLICKS_XY, FRAME

if TYPE_CHECKING:
    from collections.abc import Callable

TARGETS = {"ready": 60.0, "first": 400.0}  # ms, medians
CELLS_YX = (
    (415, 400),
    (577, 414),
    (716, 554),
    (729, 921),
    (497, 111),
    (518, 816),
)
FAR = 6  # pixels from a click to its correction


class Window:
    """A window with an image and the dock, and a mouse."""

    def __init__(self, sample: str, press: int) -> None:
        self.press = press
        self.viewer = napari.Viewer(show=True)
        self.viewer.window.resize(1600, 1000)
        (self.image,) = self.viewer.open_sample("napari-sam2", sample)
        _, self.segment = self.viewer.window.add_plugin_dock_widget(
            "napari-sam2", "Segment"
        )
        self.segment.keeper.discard_offer()
        self.canvas = self.viewer.window._qt_viewer.canvas
        self.shown: float | None = None
        self.worked = 0.0
        self._before: Any = None
        self._where: tuple[Any, ...] = ()
        scene = self.canvas._scene_canvas
        scene.events.draw.connect(self._on_draw, position="last")
        self.idle()

    def click(self, where: tuple[float, ...]) -> tuple[float, float]:
        """Milliseconds from a prompt at data coordinates to its mask on the screen.

        The second number is the processor time in them, without drawing threads.
        """
        node = self.canvas.layer_to_visual[self.image].node
        x, y = node.get_transform("visual", "canvas").map(where[:-3:-1])[:2]
        labels = self.segment.labels
        self._where = tuple(int(i) for i in where[:-2])
        self._before = np.array(labels.data[self._where])
        self.shown = None
        native, spot = self.canvas.native, QPoint(round(x), round(y))
        QTest.mousePress(native, Qt.LeftButton, pos=spot)
        released = time.perf_counter() + self.press / 1000
        if self.press:
            wait(lambda: time.perf_counter() > released)
        began, worked = time.perf_counter(), processor_time()
        QTest.mouseRelease(native, Qt.LeftButton, pos=spot)
        wait(lambda: self.shown is not None)
        assert self.shown is not None, "no mask came"
        self._before = None
        return 1000 * (self.shown - began), 1000 * (self.worked - worked)

    def next_object(self) -> None:
        """As the key does; then nothing goes on any more."""
        self.segment.next_object()
        self.idle()

    def idle(self) -> None:
        """Wait until nothing is going on, and a little longer."""
        wait(lambda: not self.segment.runner.busy, 600)
        rested = time.perf_counter() + 0.1
        wait(lambda: time.perf_counter() > rested)

    def _on_draw(self, event: object = None) -> None:
        if self._before is None or self.shown is not None:
            return
        # The refresh that follows a write on the GUI thread asks for this drawing.
        now = self.segment.labels.data[self._where]
        if not np.array_equal(now, self._before):
            gl.glFinish()
            self.shown, self.worked = time.perf_counter(), processor_time()


def processor_time() -> float:
    """Seconds that the threads of this process computed, all but those that draw."""
    total = 0.0
    for thread in Path("/proc/self/task").iterdir():
        try:
            if not (thread / "comm").read_text().startswith("llvmpipe"):
                # The clock of one thread, as pthread_getcpuclockid makes it.
                total += time.clock_gettime(~int(thread.name) << 3 | 6)
        except OSError:  # it has ended
            continue
    return total


def wait(until: Callable[[], bool], limit: float = 60.0) -> None:
    """Let the window live until something is true."""
    loop, poll, end = QEventLoop(), QTimer(), time.perf_counter() + limit
    poll.timeout.connect(
        lambda: loop.quit() if until() or time.perf_counter() > end else None
    )
    poll.start(5)
    loop.exec()


def image(rounds: int, press: int) -> dict[str, list[tuple[float, float]]]:
    """Clicks on cells of an image, for new objects and for the same again."""
    window, ready, again = Window("cells", press), [], []
    for turn in range(rounds + 1):
        for row, column in CELLS_YX:
            window.next_object()
            where = row + 3 * turn, column - 3 * turn
            times = [window.click(where)]
            window.idle()
            times.append(window.click((where[0] + FAR, where[1] + FAR)))
            window.idle()
            if turn:  # the first ones also load what torch loads late
                ready.append(times[0])
                again.append(times[1])
            window.segment.clear_object()
            window.idle()
    window.viewer.close()
    return {"image: click": ready, "image: correction": again}


def stack(frames: int, press: int) -> dict[str, list[tuple[float, float]]]:
    """Clicks on nuclei: the first of each frame, and those that follow."""
    window, first, ready = Window("nuclei", press), [], []
    spots = [(round(y), round(x)) for x, y in list(CLICKS_XY.values())[:3]]
    for number in range(frames + 1):
        frame = FRAME - frames // 2 + number
        window.viewer.dims.set_current_step(0, frame)
        window.idle()
        for turn, spot in enumerate(spots):
            window.next_object()
            took = window.click((frame, *spot))
            window.idle()
            if number:
                (ready if turn else first).append(took)
    window.viewer.close()
    return {"stack: first click on a frame": first, "stack: click": ready}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=4, help="of six cells each")
    parser.add_argument("--threads", type=int, help="of torch; by default its own")
    parser.add_argument("--press", type=int, default=80, help="ms the button is down")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    options.clock, options.model = "wall", "sam2_nano"
    if options.threads:
        torch.set_num_threads(options.threads)
    options.threads = torch.get_num_threads()
    load = os.getloadavg()[0]
    measured = image(options.rounds, options.press)
    measured |= stack(options.frames, options.press)
    rows, curves = [], {}
    for name, both in measured.items():
        times, own = zip(*both, strict=True)
        goal = TARGETS["first" if "first" in name else "ready"]
        median = statistics.median(times)
        rows.append(
            {
                "what": name,
                "clicks": len(times),
                "median, ms": round(median),
                "90 % below": round(float(np.percentile(times, 90))),
                "longest": round(max(times)),
                "own, median": round(statistics.median(own)),
                "goal": f"{goal:.0f}",
                "": "kept" if median <= goal else "missed",
            }
        )
        curves[name] = list(enumerate(times, 1))
    notes = [
        f"From the button of the mouse, up again after {options.press} ms, to the "
        "canvas drawn with the mask, by software (llvmpipe) in a window of "
        "1600 x 1000 under Xvfb.",
        f"{os.cpu_count()} cores; load of the machine before: {load:.1f}.",
    ]
    title = "From a click to its mask on the screen"
    save("gui_clicks", title, options, rows, curves, ("click", "ms"), notes)


if __name__ == "__main__":
    main()
