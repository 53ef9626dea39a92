"""Saving a session with the dialog; without a window."""

from __future__ import annotations

import pytest
from dock import FLAT, press
from qtpy.QtWidgets import QFileDialog, QMessageBox


@pytest.fixture
def save(segment, qtbot, monkeypatch, tmp_path):
    """Press "Save session" and type a name; returns what was asked then."""
    w = segment(FLAT)
    w.add_point((10, 20))

    def saving(name, answer=QMessageBox.No):
        path, asked = str(tmp_path / name), []

        def ask(parent, title, text, *_):
            asked.append(text)
            return answer

        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (path, ""))
        monkeypatch.setattr(QMessageBox, "warning", ask)
        press(qtbot, w.session.save)
        return asked

    return saving


def test_an_older_session_is_not_replaced_unasked(save, tmp_path):
    file = tmp_path / "mine.sam2.json"
    assert save("mine") == []
    assert "napari-sam2 session" in file.read_text()
    file.write_text("old work")
    (asked,) = save("mine")
    assert "mine.sam2.json already exists" in asked
    assert file.read_text() == "old work"
    save("mine", QMessageBox.Yes)
    assert "napari-sam2 session" in file.read_text()


def test_the_question_of_the_file_dialog_is_not_asked_again(save, tmp_path):
    file = tmp_path / "mine.sam2.json"
    file.write_text("old work")
    assert save("mine.sam2.json") == []
    assert "napari-sam2 session" in file.read_text()
