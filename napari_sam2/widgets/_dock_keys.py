"""The shortcuts in a dock itself, where tables and lists search for letters."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.utils.key_bindings import KeymapHandler
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QAbstractSpinBox, QLineEdit, QShortcut

from napari_sam2.dock._keys import SHORTCUTS

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari.components
    from qtpy.QtWidgets import QWidget

    from napari_sam2.dock._keys import Shortcut


def make_shortcuts(widget: QWidget, press: Callable[[Shortcut], Any]) -> None:
    """Let the keys work while anything in a widget has the focus but a text field.

    Parameters
    ----------
    widget : QWidget
        The dock's widget, complete; text fields in it keep what is typed, and fields
        for numbers let the keys pass.
    press : callable
        What a key does; must not refer to the widget.
    """
    for shortcut in SHORTCUTS.values():
        key = QShortcut(QKeySequence(shortcut.text), widget)
        key.setContext(Qt.WidgetWithChildrenShortcut)
        key.setAutoRepeat(False)
        key.activated.connect(partial(press, shortcut))
    passing = _Passing(widget)
    for field in (*widget.findChildren(QAbstractSpinBox), *_line_edits(widget)):
        field.installEventFilter(passing)


def pass_on(viewer: napari.components.ViewerModel, shortcut: Shortcut) -> None:
    """Do what a key does on the canvas."""
    layer = viewer.layers.selection.active
    handler = KeymapHandler()
    handler.keymap_providers = [viewer] if layer is None else [layer, viewer]
    handler.press_key(shortcut.key)
    handler.release_key(shortcut.key)


class _Passing(QObject):
    """Lets the shortcuts go by a field for numbers, which has no use for letters."""

    def eventFilter(self, field: QObject, event: QEvent) -> bool:
        if event.type() != QEvent.ShortcutOverride:
            return False
        pressed = QKeySequence(event.keyCombination())
        if all(QKeySequence(key.text) != pressed for key in SHORTCUTS.values()):
            return False
        event.ignore()
        return True


def _line_edits(widget: QWidget) -> list[QLineEdit]:
    """Those for numbers, such as a slider's."""
    return [line for line in widget.findChildren(QLineEdit) if line.validator()]
