"""The window waits for a quick mask, and for nothing else; in a real window."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QMainWindow

from napari_sam2.widgets._holding import LONGEST_MS


@pytest.fixture
def held(segment, qtbot):
    """A dock in a shown window, whose drawings are counted."""
    window = QMainWindow()
    qtbot.addWidget(window)
    dock = segment(np.zeros((40, 60), np.float32))
    window.setCentralWidget(dock)
    window.show()
    qtbot.waitExposed(window)
    dock.state.click_ms = 20.0
    return dock, window


def ask(dock):
    """For a mask that does not come."""
    dock.controller.tasks.awaited.emit(True)


def test_it_waits_until_the_mask_is_there(held):
    dock, window = held
    ask(dock)
    assert not window.updatesEnabled()
    dock.state.click_ms = 21.0
    assert window.updatesEnabled()


def test_it_waits_no_longer_than_people_notice(held, qtbot):
    dock, window = held
    ask(dock)
    assert not window.updatesEnabled()
    qtbot.waitUntil(window.updatesEnabled, timeout=20 * LONGEST_MS)
    dock.state.click_ms = 300.0  # it comes all the same
    assert window.updatesEnabled()


def test_it_ends_with_the_work_whatever_came_of_it(held):
    dock, window = held
    ask(dock)
    dock.controller.tasks.ended.emit("predict")
    assert window.updatesEnabled()


@pytest.mark.parametrize("took", [None, LONGEST_MS + 1.0])
def test_it_does_not_wait_for_slow_models(held, took):
    dock, window = held
    dock.state.click_ms = took
    ask(dock)
    assert window.updatesEnabled()


def test_a_prompt_holds_the_window_and_its_mask_lets_go(held):
    dock, window = held
    seen = []
    dock.labels.events.set_data.connect(lambda: seen.append(window.updatesEnabled()))
    dock.add_point((20, 30))
    assert seen
    assert not seen[0]
    assert window.updatesEnabled()


def test_nothing_else_holds_it(held):
    dock, window = held
    dock.controller.prepare()
    dock.next_object()
    assert window.updatesEnabled()


def test_the_window_goes_on_without_the_dock(held, qtbot):
    dock, window = held
    ask(dock)
    dock.setParent(None)
    qtbot.waitUntil(window.updatesEnabled, timeout=20 * LONGEST_MS)
