from __future__ import annotations

import pytest
from fakes import Stepper

from napari_sam2._jobs import Job, JobRunner, run_inline
from sam2_core import Cancelled, InferenceError, PromptError


def job(log, name, kind="predict", n=3, error=None):
    def work(stop):
        for i in range(n):
            if stop():
                return
            yield i
        if error is not None:
            raise error

    return Job(
        kind,
        work,
        on_item=lambda item: log.append((name, item)),
        on_end=lambda e: log.append((name, e)),
    )


def kinds(log):
    return [(name, type(item)) for name, item in log if not isinstance(item, int)]


def test_items_arrive_in_order_and_the_end_last():
    log = []
    JobRunner(run_inline).submit(job(log, "a"))
    assert log == [("a", 0), ("a", 1), ("a", 2), ("a", None)]


def test_of_ten_quick_previews_the_last_one_wins():
    log, threads = [], Stepper()
    runner = JobRunner(threads.start)
    for i in range(10):
        runner.submit(job(log, i))
    assert runner.busy
    threads.run()
    assert not runner.busy
    assert [name for name, item in log if item is None] == [9]
    assert {name for name, item in log if isinstance(item, int)} == {9}


def test_preview_waits_for_the_propagation():
    log, threads = [], Stepper()
    runner = JobRunner(threads.start)
    runner.submit(job(log, "p", "propagate"))
    threads.step()
    runner.submit(job(log, "a"))
    threads.run()
    assert [name for name, _ in log] == ["p"] * 4 + ["a"] * 4


def test_cancel_keeps_what_is_done_and_drops_the_rest():
    log, threads = [], Stepper()
    runner = JobRunner(threads.start)
    runner.submit(job(log, "p", "propagate", n=9))
    threads.step()
    threads.step()
    runner.submit(job(log, "a"))
    runner.cancel()
    threads.run()
    assert [item for name, item in log if name == "p"][:2] == [0, 1]
    assert kinds(log) == [("a", Cancelled), ("p", Cancelled)]
    assert not runner.busy


def test_cancel_of_one_kind_leaves_the_others():
    log, threads = [], Stepper()
    runner = JobRunner(threads.start)
    runner.submit(job(log, "p", "propagate"))
    runner.submit(job(log, "a"))
    runner.cancel("predict")
    threads.run()
    assert ("p", None) in log


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (RuntimeError("bad\nworse"), InferenceError, "The model could not run: bad."),
        (MemoryError(), InferenceError, "Out of memory"),
        (PromptError("No point."), PromptError, "No point."),
        (KeyError(), InferenceError, "KeyError"),
    ],
)
def test_no_error_leaves_the_worker(error, kind, text):
    log = []
    runner = JobRunner(run_inline)
    runner.submit(job(log, "a", error=error))
    last = log[-1][1]
    assert isinstance(last, kind)
    assert not isinstance(last, RuntimeError)
    assert text in str(last)
    assert not runner.busy


def test_a_thread_that_vanishes_ends_its_job():
    log, threads = [], Stepper()
    runner = JobRunner(threads.start)
    runner.submit(job(log, "a"))
    threads.threads.popleft()[2]()
    assert kinds(log) == [("a", Cancelled)]
    assert not runner.busy


def test_closed_runner_stays_silent():
    log, threads = [], Stepper()
    runner = JobRunner(threads.start)
    runner.submit(job(log, "a"))
    threads.step()
    runner.close()
    runner.submit(job(log, "b"))
    threads.run()
    assert log == [("a", 0)]
