"""Work on a thread of Qt's pool: items in order, the end after what is drawn."""

from __future__ import annotations

import threading

from napari_sam2.widgets import _threads
from napari_sam2.widgets._threads import run_in_thread


def run(items):
    got, ended, threads = [], [], []

    def work():
        threads.append(threading.current_thread())
        yield from items

    run_in_thread(work(), got.append, lambda: ended.append(list(got)))
    return got, ended, threads


def test_items_come_in_order_and_the_end_last(qtbot):
    _, ended, threads = run(range(5))
    qtbot.waitUntil(lambda: bool(ended), timeout=5000)
    assert ended == [[0, 1, 2, 3, 4]]
    assert threads[0] is not threading.main_thread()


def test_the_end_waits_for_what_is_drawn_only(qtbot, monkeypatch):
    monkeypatch.setattr(_threads, "DRAWN_MS", 60_000)
    _, nothing_shown, _ = run(["the end"])
    got, shown, _ = run(["a mask", "the end"])
    qtbot.waitUntil(lambda: bool(nothing_shown) and len(got) == 2, timeout=5000)
    qtbot.wait(50)
    assert shown == []
