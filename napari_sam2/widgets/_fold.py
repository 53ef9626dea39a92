"""Groups of controls that fold away under their titles, in a column that scrolls."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFrame,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

NARROWEST = 300  # of docks: below, the texts of buttons are cut


class Fold(QWidget):
    """A title to click on, and what it shows or hides.

    Parameters
    ----------
    title : str
        What is inside.
    content : QWidget
        Shown while the fold is open.
    is_open : bool
        Whether it is, to begin with.
    """

    toggled = Signal(bool)

    def __init__(
        self,
        title: str,
        content: QWidget,
        is_open: bool = True,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.content = content
        self.header = QToolButton()
        self.header.setText(title)
        self.header.setCheckable(True)
        self.header.setAutoRaise(True)
        self.header.setToolButtonStyle(Qt.ToolButtonTextBesideIcon)
        self.header.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.header)
        column.addWidget(content)
        self.header.toggled.connect(self._on_toggled)
        self.header.setChecked(is_open)
        self._on_toggled(is_open)

    @property
    def is_open(self) -> bool:
        """Whether the content is shown."""
        return bool(self.header.isChecked())

    def set_title(self, title: str) -> None:
        """Change the title."""
        self.header.setText(title)

    def _on_toggled(self, on: bool) -> None:
        self.header.setArrowType(Qt.DownArrow if on else Qt.RightArrow)
        self.content.setVisible(on)
        self.toggled.emit(on)


def scrolling_column(*panels: QWidget) -> QScrollArea:
    """Panels below each other, which scroll where there is no room for all."""
    content = QWidget()
    column = QVBoxLayout(content)
    column.setContentsMargins(2, 2, 2, 2)
    column.setSpacing(5)
    for panel in panels:
        column.addWidget(panel)
    column.addStretch(1)
    scroll = QScrollArea()
    scroll.setWidget(content)
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QFrame.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
    return scroll
