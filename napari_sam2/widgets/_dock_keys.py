"""The shortcuts in the dock itself, where tables and lists search for letters."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut

from napari_sam2._keys import SHORTCUTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

    from napari_sam2._keys import Shortcut


def make_shortcuts(widget: QWidget, press: Callable[[Shortcut], Any]) -> None:
    """Let the keys work while anything in a widget has the focus but a text field.

    Parameters
    ----------
    widget : QWidget
        The dock's widget; text fields in it keep what is typed.
    press : callable
        What a key does; must not refer to the widget.
    """
    for shortcut in SHORTCUTS.values():
        key = QShortcut(QKeySequence(shortcut.text), widget)
        key.setContext(Qt.WidgetWithChildrenShortcut)
        key.setAutoRepeat(False)
        key.activated.connect(partial(press, shortcut))
