"""What docks leave to each other: whose labels are whose, histories, layers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet, ref

from psygnal import SignalInstance

from napari_sam2 import _layers
from napari_sam2.history._history import History
from napari_sam2.history._snapshots import emptied
from napari_sam2.picture._channels import one_picture
from napari_sam2.picture._image_reference import refer
from napari_sam2.picture._one_frame import is_one_frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import napari.components
    from napari.layers import Image, Labels, Points, Shapes

    from napari_sam2._prompts import Key, MaskPrompt
    from napari_sam2.history._ledger import Ledger
    from napari_sam2.stage._stage import Stage


@dataclass(eq=False)
class Companions:
    """What waits for an image while another is in use; its channels share it."""

    points: Points | None = None
    shapes: Shapes | None = None
    labels: Labels | None = None
    masks: dict[Key, MaskPrompt] = field(default_factory=dict)
    history: History | None = None

    @property
    def layers(self) -> tuple[Any, ...]:
        """Points, shapes and labels; None for what there is not."""
        return self.points, self.shapes, self.labels

    def lost(self, present: Iterable[Any]) -> bool:
        """Whether a layer with prompts is not among these any more."""
        gone = [layer for layer in self.layers[:2] if layer not in present]
        return any(layer is not None and len(layer.data) for layer in gone)


class Departed:
    """What waits for images that were removed, until the same are opened again."""

    def __init__(self) -> None:
        self._known: dict[Any, Companions] = {}
        self._came: WeakKeyDictionary[Image, Any] = WeakKeyDictionary()

    def note(self, layer: Any, companions: Companions | None, present: Any) -> None:
        """A layer was removed; ``companions`` if it was an image that had any."""
        self._known = {
            at: each for at, each in self._known.items() if each.labels in present
        }
        came = None if companions is None else self._came.get(layer)
        if companions is not None and came is not None:
            self._known[came, _layers.place_of(layer)] = companions

    def find(
        self, image: Image, present: Any, own: Companions | None = None
    ) -> Companions:
        """What waits for an image that has just come, unless it has its ``own``."""
        if image not in self._came:  # before its layer is renamed
            self._came[image] = _origin(image)
        if own is not None:
            return own
        at = self._came[image], _layers.place_of(image)
        found = self._known.pop(at, None)
        return Companions() if found is None or found.labels not in present else found


def _origin(image: Image) -> Any:
    """Where an image came from, and its file as it is; None without one or a sample."""
    told = refer(image)
    if not told.path:
        return told if told.sample else None
    try:
        file = Path(told.path).stat()
    except OSError:  # not a file, but an address perhaps
        return told
    return told, file.st_mtime_ns, file.st_size


_HISTORIES: WeakKeyDictionary[Labels, History] = WeakKeyDictionary()
_IMAGES: WeakKeyDictionary[Labels, WeakSet[Image]] = WeakKeyDictionary()
_USED: WeakKeyDictionary[Image, ref[Labels]] = WeakKeyDictionary()  # last
_LEFT: WeakKeyDictionary[Image, Companions] = WeakKeyDictionary()
in_use = SignalInstance()  # other labels may be in use for an image now


def history_of(labels: Labels | None) -> History:
    """The history of a labels layer; a new one if it has none yet."""
    if labels is None:
        return History()
    return _HISTORIES.setdefault(labels, History())


def share(labels: Labels | None, history: History) -> None:
    """Let this be the history of a labels layer from now on."""
    if labels is not None:
        _HISTORIES[labels] = history


def belong(labels: Labels, image: Image) -> None:
    """From now on these are labels of this image, and those in use for it."""
    _IMAGES.setdefault(labels, WeakSet()).add(image)
    _USED[image] = ref(labels)
    in_use.emit()


def used_for(image: Image, present: Sequence[Any]) -> Labels | None:
    """Labels that a dock has used last for an image, or for a channel of its picture.

    None if there are none among the layers ``present``.
    """
    fit = labels_of(image, present)
    others = (one for one in [*_USED] if one is not image)
    pictures = (one for one in others if one_picture(one, image, present))
    used = (_USED[one]() for one in (image, *pictures) if one in _USED)
    return next((labels for labels in used if labels in fit), None)


def labels_of(image: Image, present: Sequence[Any]) -> list[Labels]:
    """Labels that masks of an image may go into unasked.

    They fit, and are its own, another channel's of the same picture, or nobody's. Those
    of another image are not, even once that is gone.

    Parameters
    ----------
    image : napari.layers.Image
        Whose masks.
    present : sequence
        All layers of the viewer, the lowest first.

    Returns
    -------
    list of napari.layers.Labels
        Nobody's come last; the newest first otherwise.
    """
    theirs, free = [], []
    for layer in reversed(present):
        if type(layer).__name__ != "Labels" or _layers.why_not_labels(layer, image):
            continue
        owners = _IMAGES.get(layer)
        if owners is None:
            free.append(layer)
        elif any(one is image or one_picture(one, image, present) for one in owners):
            theirs.append(layer)
    return theirs + free


def exchange(stage: Stage, history: History, labels: Labels | None) -> History:
    """Let a stage write into other labels, None for new ones; returns their history.

    Prompts belong to the labels that show their masks: those on the stage wait with
    the ``history`` that is left, and those that waited with the other come back.
    Prompts whose labels were deleted are for new ones. The tool in hand stays there.
    """
    following = history_of(labels)
    left = stage.labels
    held = stage.hand.held((stage.points, stage.shapes, left))
    if left is not None:
        if stage.image is not None:
            stage.ensure()  # a prompt layer that was deleted takes no others along
        history.aside = stage.snapshot()
        share(left, history)
    stage.set_labels(labels)
    if stage.image is not None:
        layers = stage.ensure()[1:]
        if held is not None:
            stage.hand.go_on(layers, held)
    now = stage.snapshot()
    if now is not None and (left is not None or labels is not None):
        stage.restore(following.aside or emptied(now))
        following.aside = None
    return following


def find(stage: Stage) -> History:
    """The history to go on with.

    It is that with which the stage's image was left, a new one if its labels are gone.
    On a first visit it is that of the labels; without any, the first that may be the
    image's and that only the Automatic dock has written into become the stage's.
    """
    image, left = stage.image, stage.companions.history
    if left is not None:
        return History() if stage.labels is None else left
    if image is None or stage.labels is not None:
        return history_of(stage.labels)
    for layer in labels_of(image, stage.viewer.layers):
        history = history_of(layer)
        does = {entry.do for entry in history.record.journal.entries}
        if "add" in does and does <= {"add", "found"}:
            stage.set_labels(layer)
            return history
    return History()


def or_go_on(stage: Stage, history: History, ledger: Ledger, axis: int | None) -> str:
    """How to begin from labels that were not made here; "" if there are none.

    Nor if the work has begun.
    """
    image, begun = stage.image, history.steps or history.record.journal.entries
    if image is None or begun:
        return ""
    if stage.labels not in stage._made:
        if not ledger.ids or axis is None:
            return ""
        return f", or follow the labels of {_labelled(ledger, axis)} with Track all"
    for layer in reversed(stage.viewer.layers):
        if type(layer).__name__ != "Labels" or layer in stage._made:
            continue
        one = is_one_frame(layer, image)
        if one or not _layers.why_not_labels(layer, image):
            where = "under Image and model" + ", on its own frame," * one
            return f", or choose {layer.name!r} {where} to go on with its labels"
    return ""


def _labelled(ledger: Ledger, axis: int) -> str:
    """Which frame has labels, in words: those of one frame may have gone to another."""
    if ledger.uncounted or any(ledger.extent(i) != 1 for i in ledger.ids):
        return "a frame"
    place, *more = {place for i in ledger.ids for place in ledger.places(i)}
    return "a frame" if more or axis >= len(place) else f"frame {place[axis]}"


def leave(stage: Stage, history: History) -> None:
    """A dock is gone: its layers wait for the next one that works on their images."""
    stage.companions.history = history
    # Nobody is there to look.
    with stage.layers_changed.blocked(), stage.hand.changed.blocked():
        last = stage.image
        stage.set_image(None)
    _LEFT.update(stage.remembered)
    if last is not None:
        _LEFT[last] = _LEFT.pop(last)  # the order says which was in use last


def first_image(viewer: napari.components.ViewerModel) -> Image | None:
    """The image that a new dock begins with; None if there is none.

    It is the active one, else that whose prompts or labels are active, else the last
    that a dock has left, else the topmost, a visible one if there is any.
    """
    images = [layer for layer in viewer.layers if type(layer).__name__ == "Image"]
    active = viewer.layers.selection.active
    if active in images:
        return active
    left = [image for image in _LEFT if image in images]
    theirs = [image for image in left if active and active in _LEFT[image].layers]
    visible = [image for image in images if image.visible]
    return next((found[-1] for found in (theirs, left, visible, images) if found), None)


def arrive(stage: Stage) -> None:
    """Let a stage remember what a closed dock has left for the images in its viewer."""
    for image in [each for each in _LEFT if each in stage.viewer.layers]:
        stage.remembered.setdefault(image, _LEFT.pop(image))
