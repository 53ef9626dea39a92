"""A heading that folds away what stands under it."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSizePolicy, QToolButton, QVBoxLayout, QWidget


class Fold(QWidget):
    """Content that is shown when its heading is clicked.

    Parameters
    ----------
    title : str
        The heading.
    content : QWidget
        What is folded away at first.
    opened : bool
        Whether it is shown at first.
    """

    def __init__(
        self,
        title: str,
        content: QWidget,
        opened: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.content = content
        self.heading = QToolButton()
        self.heading.setText(title)
        self.heading.setCheckable(True)
        self.heading.setAutoRaise(True)
        self.heading.setToolButtonStyle(Qt.ToolButtonTextBesideIcon)
        self.heading.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.heading)
        column.addWidget(content)
        self.heading.toggled.connect(self._on_toggled)
        self.heading.setChecked(opened)
        self._on_toggled(opened)

    def _on_toggled(self, opened: bool) -> None:
        self.heading.setArrowType(Qt.DownArrow if opened else Qt.RightArrow)
        self.content.setVisible(opened)
