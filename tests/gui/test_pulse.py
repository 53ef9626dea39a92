"""What changes all the time is drawn a few times a second, and all of it together."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from qtpy.QtCore import QObject

from napari_sam2.widgets import _pulse
from napari_sam2.widgets._pulse import APART, Drawing, common_pulse


@pytest.fixture
def drawn(qapp):
    """Two widgets, and what was drawn of them when."""
    log, parents = [], [QObject(), QObject()]
    drawings = [Drawing(parent) for parent in parents]
    for number, drawing in enumerate(drawings):
        drawing.due.connect(lambda n=number: log.append((n, time.monotonic())))
    log.append((drawings, parents))
    yield log, drawings
    for parent in parents:
        parent.deleteLater()


def test_many_requests_are_few_drawings_all_together(qtbot, drawn):
    log, (one, other) = drawn
    del log[0]
    end = time.monotonic() + 0.9
    while time.monotonic() < end:
        one.ask()
        other.ask()
        qtbot.wait(5)
    beats = [at for number, at in log if number == 0]
    assert 2 <= len(beats) <= 900 / APART + 1
    gaps = [later - earlier for earlier, later in pairwise(beats)]
    assert min(gaps) > 0.9 * APART / 1000
    others = [at for number, at in log if number == 1]
    assert len(others) == len(beats)
    for at, there in zip(beats, others, strict=True):
        assert abs(at - there) < 0.02


def test_nothing_is_drawn_that_nobody_asked_for(qtbot, drawn):
    log, (one, _) = drawn
    del log[0]
    one.ask()
    qtbot.waitUntil(lambda: bool(log), timeout=2000)
    qtbot.wait(2 * APART)
    assert [number for number, _ in log] == [0]


def test_after_a_pause_it_is_soon(qtbot, drawn):
    log, (one, _) = drawn
    del log[0]
    qtbot.wait(2 * APART)
    asked = time.monotonic()
    one.ask()
    qtbot.waitUntil(lambda: bool(log), timeout=2000)
    assert log[0][1] - asked < _pulse.APART / 1000


def test_what_is_gone_is_not_drawn(qtbot, qapp):
    parent, log = QObject(), []
    drawing = Drawing(parent)
    drawing.due.connect(lambda: log.append(1))
    drawing.ask()
    parent.deleteLater()
    qtbot.wait(2 * APART)
    assert log == []
    assert common_pulse() is common_pulse()
