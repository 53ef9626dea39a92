"""How long the window stands still while the model works, in a real viewer.

A 5 ms timer of the GUI thread notes when it fires. What it comes late is a stall. For
each one the processor time of the GUI thread in it is noted too: a stall in which the
GUI thread did not compute was waiting, for Python's lock or for a core that other
programs used. What napari does by itself while the slider moves is measured first
without the plugin, and again with its layers while it does nothing. Without a screen,
start it as
``xvfb-run -a -s "-screen 0 1600x1200x24" python benchmarks/gui_stalls.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, Qt, QTimer
from qtpy.QtTest import QTest

from napari_sam2.demo import CLICKS_XY, FRAME

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL = 5  # ms between ticks
TARGETS = {"p99": 50.0, "longest": 150.0}  # ms, while the model works
ALONE = (
    "nothing going on",
    "napari alone, moving the slider",
    "opening the dock",
    "idle plugin, moving the slider",
    "its layers, dock closed, moving it",
)


class Ticker:
    """Notes when the GUI thread comes round."""

    def __init__(self) -> None:
        self.ticks: list[tuple[float, float]] = []
        self.timer = QTimer()
        self.timer.setTimerType(Qt.PreciseTimer)
        self.timer.setInterval(INTERVAL)
        self.timer.timeout.connect(self._on_tick)

    def _on_tick(self) -> None:
        self.ticks.append((time.perf_counter(), time.thread_time()))

    def run(self, until: Callable[[], bool], limit: float = 400.0) -> dict[str, float]:
        """Let the window live until something is true; stalls in ms."""
        loop, poll = QEventLoop(), QTimer()
        end = time.perf_counter() + limit
        poll.setInterval(20)
        poll.timeout.connect(
            lambda: loop.quit() if until() or time.perf_counter() > end else None
        )
        self.ticks = [(time.perf_counter(), time.thread_time())]
        self.timer.start()
        poll.start()
        loop.exec()
        self.timer.stop()
        wall, busy = np.diff(np.array(self.ticks), axis=0).T * 1000
        late = np.maximum(0, wall - INTERVAL)
        own = np.minimum(late, busy)
        worst = int(late.argmax())
        return {
            "seconds": round(float(wall.sum() / 1000), 2),
            "median": round(float(np.median(late)), 1),
            "p99": round(float(np.percentile(late, 99)), 1),
            "longest": round(float(late.max()), 1),
            "own p99": round(float(np.percentile(own, 99)), 1),
            "own longest": round(float(own.max()), 1),
            "own of the longest": round(float(own[worst]), 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=12, help="frames to propagate")
    parser.add_argument("--objects", type=int, default=5)
    parser.add_argument("--json", help="also write the numbers here")
    options = parser.parse_args()

    viewer = napari.Viewer(show=True)
    viewer.window.resize(1600, 1000)
    viewer.open_sample("napari-sam2", "nuclei")
    viewer.dims.set_current_step(0, FRAME)
    ticker, results = Ticker(), {}
    start = time.perf_counter()
    results[ALONE[0]] = ticker.run(lambda: time.perf_counter() - start > 5)

    half = options.frames // 2

    def moving() -> QTimer:
        steps, timer = iter(range(10_000)), QTimer()
        timer.timeout.connect(
            lambda: viewer.dims.set_current_step(
                0, FRAME - half + next(steps) % (2 * half)
            )
        )
        timer.start(400)
        return timer

    def only_move() -> dict[str, float]:
        timer, start = moving(), time.perf_counter()
        stalls = ticker.run(lambda: time.perf_counter() - start > 8)
        timer.stop()
        return stalls

    results[ALONE[1]] = only_move()

    opened: list[Any] = []

    def open_dock() -> None:
        opened[:] = viewer.window.add_plugin_dock_widget("napari-sam2", "Segment")
        QTimer.singleShot(50, lambda: opened.append("painted"))

    QTimer.singleShot(50, open_dock)
    results[ALONE[2]] = ticker.run(lambda: "painted" in opened)
    segment = opened[1]
    runner, state = segment.runner, segment.state
    results["loading torch and the model"] = ticker.run(lambda: not runner.busy)

    clicks = list(CLICKS_XY.values())[: options.objects]
    timer, left = QTimer(), list(clicks)

    def click() -> None:
        if runner.busy or not left:
            return
        x, y = left.pop(0)
        if len(left) < len(clicks) - 1:
            segment.next_object()
        segment.add_point((y, x))

    timer.timeout.connect(click)
    timer.start(100)
    results["clicks"] = ticker.run(lambda: not left and not runner.busy)
    timer.stop()

    results[ALONE[3]] = only_move()

    state.update(start=FRAME - half, stop=FRAME + half - 1)
    segment.propagate("both")
    timer = moving()
    results["propagation, moving the slider"] = ticker.run(lambda: not runner.busy)
    timer.stop()

    shown = [layer.visible for layer in viewer.layers]
    viewer.window.remove_dock_widget(opened[0])
    QTest.qWait(500)  # closing shows the layers again that it had hidden
    for layer, was in zip(viewer.layers, shown, strict=True):
        layer.visible = was
    results[ALONE[4]] = only_move()
    viewer.close()

    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; late by, in ms:")
    names = list(next(iter(results.values())))
    print(f"{'':36}" + "".join(f"{name:>20}" for name in names))
    for phase, values in results.items():
        print(f"{phase:36}" + "".join(f"{values[name]:>20}" for name in names))
    working = [v for k, v in results.items() if k not in ALONE]
    for name, target in TARGETS.items():
        for kind in (name, f"own {name}"):
            worst = max(values[kind] for values in working)
            verdict = "kept" if worst <= target else "MISSED"
            print(f"{kind}: {worst:.1f} ms, target {target:g} ms: {verdict}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"load": os.getloadavg()[0], "stalls_ms": results}, file)


if __name__ == "__main__":
    main()
