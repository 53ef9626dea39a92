"""The window waits for a quick mask, and for nothing else; in a real window."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QMainWindow, QVBoxLayout, QWidget

from napari_sam2.widgets._holding import LONGEST_MS

A_WHILE = LONGEST_MS // 4
AT_LAST = 50 * LONGEST_MS


class Painted(QWidget):
    """Counts how often it is drawn."""

    times = 0

    def paintEvent(self, event):
        self.times += 1


@pytest.fixture
def held(segment, qtbot):
    """A dock in a shown window beside something that is drawn."""
    window, middle, painted = QMainWindow(), QWidget(), Painted()
    qtbot.addWidget(window)
    dock = segment(np.zeros((40, 60), np.float32))
    column = QVBoxLayout(middle)
    column.addWidget(dock)
    column.addWidget(painted)
    painted.setMinimumHeight(20)
    window.setCentralWidget(middle)
    window.show()
    qtbot.waitExposed(window)
    qtbot.waitUntil(lambda: painted.times > 0, timeout=AT_LAST)
    qtbot.wait(A_WHILE)
    dock.state.click_ms = 20.0
    yield dock, painted
    dock.setParent(None)  # closed by itself


def ask(dock):
    """For a mask that does not come."""
    dock.controller.tasks.awaited.emit(True)


def is_drawn(painted, qtbot, wait=A_WHILE):
    """Whether it is drawn when it has changed."""
    before = painted.times
    painted.update()
    qtbot.wait(wait)
    return painted.times > before


def test_it_waits_until_the_mask_is_there(held, qtbot):
    dock, painted = held
    assert is_drawn(painted, qtbot)
    ask(dock)
    assert not is_drawn(painted, qtbot)
    before = painted.times
    dock.state.click_ms = 21.0
    qtbot.waitUntil(lambda: painted.times > before, timeout=AT_LAST)
    assert painted.times == before + 1  # once for all that has changed
    assert is_drawn(painted, qtbot)


def test_it_waits_no_longer_than_people_notice(held, qtbot):
    dock, painted = held
    ask(dock)
    before = painted.times
    painted.update()
    qtbot.waitUntil(lambda: painted.times > before, timeout=AT_LAST)
    dock.state.click_ms = 300.0  # it comes all the same
    assert is_drawn(painted, qtbot)


def test_it_ends_with_the_work_whatever_came_of_it(held, qtbot):
    dock, painted = held
    ask(dock)
    dock.controller.tasks.ended.emit("predict")
    assert is_drawn(painted, qtbot)


def test_a_press_that_was_answered_ahead_holds_it_no_more(held, qtbot):
    dock, painted = held
    ask(dock)
    dock.controller.tasks.awaited.emit(False)
    assert is_drawn(painted, qtbot)


@pytest.mark.parametrize("took", [None, LONGEST_MS + 1.0])
def test_it_does_not_wait_for_slow_models(held, qtbot, took):
    dock, painted = held
    dock.state.click_ms = took
    ask(dock)
    assert is_drawn(painted, qtbot)


def test_a_prompt_holds_the_window_and_its_mask_lets_go(held, qtbot):
    dock, painted = held
    awaited = []
    dock.controller.tasks.awaited.connect(awaited.append)
    dock.add_point((20, 30))
    assert awaited == [True]
    assert is_drawn(painted, qtbot)
    dock.controller.prepare()
    dock.next_object()
    assert awaited == [True]  # for nothing else


def test_the_window_goes_on_without_the_dock(held, qtbot):
    dock, painted = held
    ask(dock)
    dock.setParent(None)
    qtbot.wait(2 * LONGEST_MS)
    assert is_drawn(painted, qtbot)
