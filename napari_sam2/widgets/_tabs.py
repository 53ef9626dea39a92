"""Docks that lie behind each other, as below each other neither has room."""

from __future__ import annotations

import weakref

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget


def join_when_docked(widget: QWidget, name: str) -> None:
    """Make the dock of a widget a tab of the one with the widget of that name, if any.

    Both have to be in the same area of the window, and neither a window of its own.
    A widget that is being made has no dock yet.
    """
    known = weakref.ref(widget)
    docked = QTimer(widget, singleShot=True, interval=0)
    docked.timeout.connect(lambda: _join(known(), name))
    docked.start()


def _join(widget: QWidget | None, name: str) -> None:
    dock = _dock_of(widget)
    window = None if dock is None else dock.parentWidget()
    if dock is None or dock.isFloating() or not isinstance(window, QMainWindow):
        return
    other = _dock_of(window.findChild(QWidget, name))
    if other is None or other.isFloating() or not other.isVisible():
        return
    if window.dockWidgetArea(other) == window.dockWidgetArea(dock):
        window.tabifyDockWidget(other, dock)
        dock.raise_()


def _dock_of(widget: QWidget | None) -> QDockWidget | None:
    while widget is not None and not isinstance(widget, QDockWidget):
        widget = widget.parentWidget()
    return widget
