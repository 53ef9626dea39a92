"""One history for each labels layer, whichever dock writes into it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from napari_sam2 import _layers
from napari_sam2._history import History

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_sam2._stage import Stage

_HISTORIES: WeakKeyDictionary[Labels, History] = WeakKeyDictionary()


def history_of(labels: Labels | None) -> History:
    """The history of a labels layer; a new one if it has none yet."""
    if labels is None:
        return History()
    return _HISTORIES.setdefault(labels, History())


def share(labels: Labels | None, history: History) -> None:
    """Let this be the history of a labels layer from now on."""
    if labels is not None:
        _HISTORIES[labels] = history


def take_over(stage: Stage) -> History | None:
    """Work on with labels that only the Automatic dock has written into.

    The newest such layer that fits the image becomes the stage's, unless that has
    labels already.

    Returns
    -------
    History or None
        Of these labels; None if there are none.
    """
    image = stage.image
    if image is None or stage.labels is not None:
        return None
    for layer in reversed(stage.viewer.layers):
        history = _HISTORIES.get(layer) if type(layer).__name__ == "Labels" else None
        if history is None or _layers.why_not_labels(layer, image):
            continue
        does = {entry.do for entry in history.record.journal.entries}
        if "add" in does and does <= {"add", "found"}:
            stage.set_labels(layer)
            return history
    return None
