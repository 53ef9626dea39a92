"""The four layers of a session and their events: image, points, shapes and labels."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
from psygnal import Signal

from napari_sam2 import _layers as layers
from napari_sam2._drawing import Drawing, finished_rows
from napari_sam2._label_colors import LabelColors
from napari_sam2._prompts import keys_of
from napari_sam2.history._snapshots import Snapshot, restore, snapshot
from napari_sam2.picture import _cover
from napari_sam2.picture._channels import one_picture
from napari_sam2.stage import _aside
from napari_sam2.stage._hand import Hand
from napari_sam2.stage._resting import Resting
from napari_sam2.stage._sharing import Companions, Departed, belong
from sam2_core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import napari.components
    from napari.layers import Image, Labels, Points, Shapes

    from napari_sam2._prompts import Key, MaskPrompt

COMMITTED = ("added", "removed", "changed")


class Stage:
    """Creates the prompt and labels layers of an image and listens to them.

    Signals are emitted on the GUI thread. Callbacks are bound methods, which napari
    holds weakly, so that a closed dock leaves nothing behind.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where the layers are shown.
    """

    prompts_changed = Signal()
    object_selected = Signal(int)
    polarity_selected = Signal(bool)
    layer_lost = Signal(object)
    layers_changed = Signal()
    leaving = Signal()  # other layers are next, or prompts go; all is as it was yet

    def __init__(self, viewer: napari.components.ViewerModel) -> None:
        self.viewer = viewer
        self.image: Image | None = None
        self.points: Points | None = None
        self.shapes: Shapes | None = None
        self.labels: Labels | None = None
        self.masks: dict[Key, MaskPrompt] = {}
        self._polarity_once = ""  # of the point that is being added
        self._added_other = False
        self._quiet = 0
        self._colors = LabelColors()
        self._resting = Resting(viewer)
        self.hand = Hand(viewer)
        self.drawing = Drawing(viewer, self.quiet)
        self._held: tuple[int, str] | None = None  # until the layers are made
        self._defaults: dict[str, Any] = {}
        self._made: WeakSet[Any] = WeakSet()
        self.companions = Companions()
        self._gone = Companions()  # of an image that no other has replaced yet
        self.remembered: WeakKeyDictionary[Image, Companions] = WeakKeyDictionary()
        self._departed = Departed()
        viewer.layers.events.removed.connect(self._on_removed)

    # -- setting up ---------------------------------------------------------------

    def set_image(self, image: Image | None) -> bool:
        """Work on another image; its earlier prompts and labels come back.

        Returns whether prompts of it were deleted in the meantime.
        """
        self.leaving.emit()
        old, former, present = self.companions, self.image, self.viewer.layers
        old.points, old.shapes, old.labels = self.points, self.shapes, self.labels
        old.masks = self.masks
        if former is not None:
            layers.attend(former, self._on_moved, listen=False)
        self._held = self.hand.held(old.layers)
        self.image = image
        if image is None:
            self.companions, self.masks, self._gone = Companions(), {}, old
            self._use(None, None)
            self._use_labels(None)
            return False
        layers.attend(image, self._on_moved)
        same = former is not None and one_picture(former, image, present)
        if former is None:
            old, self._gone = self._gone, Companions()
        waits = self._departed.find(image, present, old if same else None)
        now = self.remembered.setdefault(image, waits)
        self.companions, self.masks = now, now.masks
        there = [layer if layer in present else None for layer in now.layers]
        self._use(*there[:2])
        self._use_labels(there[2])
        if not same and old is not now:
            if former is not None:  # layers come and go at once: vispy may crash
                self._drop_empty(old)
            before = old.labels if former is None else former
            if before is not None and _cover.meet(self.viewer, before, image):
                _aside.put(old.layers)
        _aside.bring_back(there)
        return now.lost(present)

    def set_labels(self, labels: Labels | None) -> None:
        """Write into this layer from now on."""
        self.leaving.emit()
        self._use_labels(labels)

    def _use_labels(self, labels: Labels | None) -> None:
        if self.labels is not None:
            self.labels.events.selected_label.disconnect(self._on_selected_label)
        self.labels = labels
        if labels is not None:
            labels.events.selected_label.connect(self._on_selected_label)
            _aside.bring_back([labels])
            if self.image is not None:
                belong(labels, self.image)
        self.layers_changed.emit()

    def ensure(self) -> tuple[Image, Points, Shapes, Labels]:
        """All four layers; those that are missing are created.

        Raises
        ------
        ImageError
            If no image is chosen.
        """
        image = self.image
        if image is None:
            raise ImageError(layers.NO_IMAGE)
        active = self.viewer.layers.selection.active
        held, self._held = self._held, None
        made = self.shapes is None or self.points is None
        if self.labels is None:
            labels = layers.new_labels(image)
            belong(labels, image)  # before another dock takes them for nobody's
            self.set_labels(self._add(labels))
        if made:
            shapes = self.shapes or self._add(layers.new_shapes(image))
            points = self.points or self._add(layers.new_points(image))
            self._use(points, shapes)
            self._renew_defaults()
        if made or held is not None:
            self.hand.go_on((self.points, self.shapes, self.labels), held)
        elif active is not None and active in self.viewer.layers:
            self.viewer.layers.selection.active = active
        assert self.points is not None
        assert self.shapes is not None
        assert self.labels is not None
        return image, self.points, self.shapes, self.labels

    def activate(self, tool: str) -> None:
        """Take a tool in hand: "point", "box", "scribble", "polygon", "lasso"."""
        self.hand.take(tool, self.ensure()[3])

    # -- prompts ------------------------------------------------------------------

    def set_defaults(self, positive: bool, object_id: int, tag: str) -> None:
        """Say what the next prompt is for and colour all prompts accordingly."""
        if self.points is None or self.shapes is None:
            return
        self._defaults = wanted = {
            "polarity": layers.POLARITIES[0 if positive else 1],
            "object_id": object_id,
            "plane": tag,
        }
        color = layers.GREEN if positive else layers.RED
        colors: dict[Points | Shapes, dict[str, Any]] = {
            self.points: {"face": color, "border": self.label_color(object_id)},
            self.shapes: {"edge": color},
        }
        with self.quiet():
            for layer, looks in colors.items():
                layers.set_next(layer, wanted, looks)
            self.style(object_id)

    def style(self, object_id: int) -> None:
        """Fade the prompts of other objects; border of each in its label's colour."""
        if self.points is None or self.shapes is None:
            return
        with self.quiet():
            layers.style_points(self.points, object_id, self.label_color, self.labels)
            layers.style_shapes(self.shapes, object_id, self.labels)

    def label_color(self, object_id: int) -> tuple[float, ...]:
        """Colour of a label, RGBA from 0 to 1."""
        return self._colors.of(self.labels, object_id)

    def add_point(self, coordinates: Sequence[float], positive: bool = True) -> None:
        """Add a point at full data coordinates, as a click would."""
        points = self.ensure()[1]
        self._polarity_once = layers.POLARITIES[0 if positive else 1]
        points.add(np.asarray(coordinates, float)[None])

    def add_shapes(self, outlines: Any, kind: str, positive: bool = True) -> None:
        """Add shapes with full data coordinates (N, ndim), as a drag would."""
        shapes = self.ensure()[2]
        self.drawing.end()
        self._polarity_once = layers.POLARITIES[0 if positive else 1]
        shapes.add([np.asarray(xy, float) for xy in outlines], shape_type=kind)

    def snapshot(self) -> Snapshot | None:
        """Content of the prompt layers; None without layers."""
        if self.points is None or self.shapes is None:
            return None
        return snapshot(self.points, self.shapes, self.masks)

    def restore(self, saved: Snapshot) -> None:
        """Put the content of the prompt layers back, without events of ours."""
        if self.points is not None and self.shapes is not None:
            self.drawing.drop()
            with self.quiet():
                restore(saved, self.points, self.shapes)
                self.masks = dict(saved.masks)
            self._renew_defaults()  # napari forgets them with the last prompt

    def count_prompts(self, object_id: int) -> int:
        """Number of points, shapes and masks given for one object, in all frames."""
        masks = self.masks.items()
        return sum(m.given for key, m in masks if key.object_id == object_id) + sum(
            int((finished_rows(layer)["object_id"] == object_id).sum())
            for layer in (self.points, self.shapes)
            if layer is not None
        )

    def remove_prompts(self, object_id: int) -> None:
        """Delete all prompts of one object, without events of ours."""
        self.masks = {k: m for k, m in self.masks.items() if k.object_id != object_id}
        self._remove(lambda key: key.object_id == object_id)

    def remove_keys(self, keys: set[Key]) -> None:
        """Delete the points and shapes of some objects in some planes."""
        self._remove(keys.__contains__)

    def _remove(self, gone: Callable[[Key], bool]) -> None:
        self.drawing.drop()
        with self.quiet():
            for layer in (self.points, self.shapes):
                if layer is not None and len(layer.data):
                    found = [i for i, key in enumerate(keys_of(layer)) if gone(key)]
                    layer.remove(found)

    def move_prompts(self, sources: Sequence[int], target: int) -> None:
        """Let the points and shapes of some objects be another's; masks are dropped."""
        gone = {*sources, target}
        self.masks = {k: m for k, m in self.masks.items() if k.object_id not in gone}
        for layer in (self.points, self.shapes):
            if layer is not None:
                ids = layer.features["object_id"]
                layer.features["object_id"] = ids.where(~ids.isin(sources), target)

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Ignore the events of our own edits."""
        self._quiet += 1
        try:
            yield
        finally:
            self._quiet -= 1

    # -- events -------------------------------------------------------------------

    def _use(self, points: Points | None, shapes: Shapes | None) -> None:
        for layer in (self.points, self.shapes):
            if layer is not None:
                layer.events.data.disconnect(self._on_data)
        if self.shapes is not None:
            selected = self.shapes.selected_data.events.items_changed
            selected.disconnect(self._on_shapes_selected)
        if self.points is not None:
            self.points.events.feature_defaults.disconnect(self._on_defaults)
            if self._on_press in self.points.mouse_drag_callbacks:
                self.points.mouse_drag_callbacks.remove(self._on_press)
        self.points, self.shapes = points, shapes
        self._resting.use(shapes)
        self.hand.use(points, shapes)
        self.drawing.use(shapes)
        for layer in (points, shapes):
            if layer is not None:
                layer.events.data.connect(self._on_data)
        if shapes is not None:
            shapes.selected_data.events.items_changed.connect(self._on_shapes_selected)
        if points is not None:
            points.events.feature_defaults.connect(self._on_defaults)
            points.mouse_drag_callbacks.append(self._on_press)
        self.layers_changed.emit()

    def _add(self, layer: Any) -> Any:
        self._made.add(layer)
        if layer.name in self.viewer.layers and self.image is not None:
            layer.name = f"{layer.name} ({self.image.name})"
        with self.quiet():
            return self.viewer.add_layer(layer)

    def _drop_empty(self, old: Companions) -> None:
        """Remove prompt layers of the former image that were never used."""
        with self.quiet():
            for layer in old.layers[:2]:
                if layer in self.viewer.layers and len(layer.data) == 0:
                    self.viewer.layers.remove(layer)

    def _on_press(self, layer: Points, event: Any) -> None:
        """Shift makes the point about to be added a negative one."""
        shift = "Shift" in [str(getattr(m, "name", m)) for m in event.modifiers]
        adds = str(layer.mode) == "add" and shift
        self._polarity_once = layers.POLARITIES[1] if adds else ""

    def _on_data(self, event: Any) -> None:
        action = str(getattr(event.action, "value", event.action))
        if self._quiet or action not in COMMITTED:
            return
        if layers.drop_stale_rows(event.source):
            self.drawing.changed.emit()
            return
        polarity, self._polarity_once = self._polarity_once, ""
        if polarity and len(event.source.data):
            features = event.source.features
            features.loc[features.index[-1], "polarity"] = polarity
            # napari selects the new point and takes over its polarity.
            other = polarity != self._defaults.get("polarity")
            self._added_other = other and event.source is self.points
        self.prompts_changed.emit()

    def _on_defaults(self, event: Any = None) -> None:
        """A selected prompt makes its object and polarity the current ones."""
        if self._quiet or self.points is None:
            return
        if (values := layers.defaults_of(self.points)) == self._defaults:
            return
        if self._added_other:
            self._added_other = False
            self._renew_defaults()
            return
        self._on_selected(int(values["object_id"]), values["polarity"])

    def _renew_defaults(self) -> None:
        if wanted := self._defaults:
            positive = wanted["polarity"] == layers.POLARITIES[0]
            self.set_defaults(positive, wanted["object_id"], wanted["plane"])

    def _on_shapes_selected(self, *_: Any) -> None:
        """The same for shapes, which tell of the selection only."""
        if self._quiet or self.shapes is None:
            return
        table, chosen = self.shapes.features, list(self.shapes.selected_data)
        if not chosen or max(chosen) >= len(table):
            return
        values = table.iloc[chosen][["object_id", "polarity"]].drop_duplicates()
        if len(values) == 1:
            object_id, polarity = values.iloc[0]
            self._on_selected(int(object_id), polarity)

    def _on_selected(self, object_id: int, polarity: str) -> None:
        if object_id > 0 and object_id != self._defaults.get("object_id"):
            self.object_selected.emit(object_id)
        if polarity != self._defaults.get("polarity"):
            self.polarity_selected.emit(polarity == layers.POLARITIES[0])

    def _on_selected_label(self, event: Any = None) -> None:
        if not self._quiet and self.labels is not None:
            self.object_selected.emit(int(self.labels.selected_label))

    def _on_moved(self, event: Any = None) -> None:
        """The image was moved or scaled: its companions follow."""
        if self.image is None:
            return
        for layer in (self.points, self.shapes, self.labels):
            if layer not in self._made:
                continue  # the user's own labels stay where they are
            for name, value in layers.spatial(self.image).items():
                setattr(layer, name, value)

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        left = self.remembered.get(layer)
        self._departed.note(layer, left, self.viewer.layers)
        if left is not None:  # no switch would bring them back
            _aside.bring_back(left.layers)
        if layer is self.points or layer is self.shapes:
            self.leaving.emit()
            both = self.points, self.shapes
            self._use(*(None if layer is own else own for own in both))
        elif layer is self.labels:
            self.set_labels(None)
        elif layer is not self.image:
            return
        self.layer_lost.emit(layer)
