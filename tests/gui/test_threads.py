"""Work on other threads: items in order, the end once it is drawn, who steps back."""

from __future__ import annotations

import os
import sys
import threading
import time

import pytest
from napari.qt.threading import create_worker
from qtpy.QtCore import QThreadPool

from napari_sam2.widgets import _threads
from napari_sam2.widgets._threads import run_in_thread


def run(items, awaited=True):
    got, ended, threads = [], [], []

    def work():
        threads.append(threading.current_thread())
        yield from items

    run_in_thread(work(), got.append, lambda: ended.append(list(got)), awaited)
    return got, ended, threads


@pytest.mark.parametrize("awaited", [True, False])
def test_items_come_in_order_and_the_end_last(qtbot, awaited):
    _, ended, threads = run(range(5), awaited)
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


def test_a_long_job_stays_on_one_thread_and_threads_are_used_again(qtbot):
    def work():
        for _ in range(5):
            yield threading.current_thread()

    def alive():
        return {t for t in threading.enumerate() if t.name.startswith("sam2")}

    known = []
    for _ in range(3):
        got, ended = [], []
        run_in_thread(work(), got.append, lambda ended=ended: ended.append(1), False)
        qtbot.waitUntil(lambda ended=ended: bool(ended), timeout=5000)
        assert len(set(got)) == 1
        assert got[0] in alive()
        known.append(alive())
    assert known[1:] == known[:1] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priorities")
def test_what_nobody_waits_for_steps_back_and_nothing_else_does(qtbot):
    def priority():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def work():
        inner = []
        thread = threading.Thread(target=lambda: inner.append(priority()))
        thread.start()
        thread.join()
        yield priority(), inner[0]

    before, others = priority(), []
    for awaited, expected in ((False, min(before + 10, 19)), (True, before)):
        got = []
        run_in_thread(work(), got.append, lambda: None, awaited)
        qtbot.waitUntil(lambda got=got: bool(got), timeout=5000)
        assert got == [(expected, expected)]
    worker = create_worker(priority)
    worker.returned.connect(others.append)
    worker.start()
    qtbot.waitUntil(lambda: bool(others), timeout=5000)
    assert [*others, priority()] == [before, before]


def test_a_worker_that_is_asked_to_quit_stops_the_work(qtbot, monkeypatch):
    made, workers = [], []

    def work():
        while len(made) < 10_000:
            made.append(len(made))
            yield made[-1]
            time.sleep(0.002)

    def create(*args, **kwargs):
        workers.append(create_worker(*args, **kwargs))
        return workers[-1]

    monkeypatch.setattr(_threads, "create_worker", create)
    run_in_thread(work(), lambda item: None, lambda: None, False)
    qtbot.waitUntil(lambda: len(made) > 3, timeout=5000)
    workers[0].quit()
    assert QThreadPool.globalInstance().waitForDone(5000)
    workers.clear()
    qtbot.wait(100)
    stopped_at = len(made)
    qtbot.wait(100)
    assert len(made) == stopped_at < 10_000
