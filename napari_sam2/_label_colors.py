"""Colours of a Labels layer, and which of its objects are not drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Labels

COLORS = 48  # before they come again
GOLDEN_ANGLE = 137.508  # degrees: no two hues are close to each other for long
FIRST_HUE = 65.0  # orange, unlike the green and red of prompts
LIGHTNESS = 74, 64, 80
CHROMA = 65


@dataclass(frozen=True)
class Hiding:
    """Objects of a labels layer that are not drawn.

    Attributes
    ----------
    ids : frozenset of int
        Which.
    own, instead : colormaps
        The layer's own one, and the one that it has as long as something is hidden.
    """

    ids: frozenset[int]
    own: Any
    instead: Any


HIDING: WeakKeyDictionary[Labels, Hiding] = WeakKeyDictionary()


def clear_colors() -> Any:
    """Colours that are seen on dark and on light images, unlike napari's first ones.

    Returns
    -------
    napari.utils.colormaps.CyclicLabelColormap
        Of labels from 1 on; 0 is transparent.
    """
    from napari.utils.colormaps import CyclicLabelColormap
    from skimage.color import lab2rgb

    number = np.arange(COLORS + 1) - 1  # napari draws 0 as nothing, and shuffles all
    hue = np.deg2rad(FIRST_HUE + GOLDEN_ANGLE * number)
    lightness = np.take(LIGHTNESS, number, mode="wrap")
    lab = np.stack([lightness, CHROMA * np.cos(hue), CHROMA * np.sin(hue)], axis=-1)
    return CyclicLabelColormap(colors=np.clip(lab2rgb(lab), 0, 1), name="clear colors")


def hidden_in(labels: Labels | None) -> frozenset[int]:
    """Objects of a labels layer that are not drawn."""
    hiding = None if labels is None else HIDING.get(labels)
    return frozenset() if hiding is None else hiding.ids


def own_colormap(labels: Labels) -> Any:
    """Colours of a labels layer as they are when nothing is hidden."""
    hiding, colormap = HIDING.get(labels), labels.colormap
    return colormap if hiding is None or colormap is not hiding.instead else hiding.own


def map_label(colormap: Any, object_id: int) -> Any:
    """RGBA of a label, also while the layer draws another one alone."""
    selection, colormap.selection = colormap.selection, object_id
    color = colormap.map(object_id)
    colormap.selection = selection
    return color


class LabelColors:
    """Colours of a labels layer; tables ask for them often, and napari is slow."""

    def __init__(self) -> None:
        self._colormap: Any = None
        self._known: dict[int, tuple[float, ...]] = {}

    def of(self, labels: Labels | None, object_id: int) -> tuple[float, ...]:
        """RGBA of a label, 0 to 1, hidden or not; white where there is none."""
        if labels is None or object_id == labels.colormap.background_value:
            return (1.0, 1.0, 1.0, 1.0)
        colormap = own_colormap(labels)
        if self._colormap is not colormap:
            self._colormap, self._known = colormap, {}
        if object_id not in self._known:
            color = map_label(colormap, object_id)
            self._known[object_id] = tuple(map(float, color))
        return self._known[object_id]
