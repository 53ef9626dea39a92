"""What passes between the window and the worker: the choice of model, and results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_sam2._prompts import ObjectPrompts
    from napari_sam2.asking._facts import Facts
    from napari_sam2.picture._region import Looked


@dataclass(frozen=True)
class Choice:
    """Model and device to work with, and a preset for stacks; "" is as trained."""

    model: str
    device: str
    preset: str = ""


@dataclass(frozen=True)
class Say:
    """Message for the status line."""

    text: str


@dataclass(frozen=True)
class Early:
    """Objects that were followed back to frames before their first prompt.

    Attributes
    ----------
    objects : frozenset of int
        Those on this plane.
    followed : frozenset of int
        All objects whose masks the same propagation makes anew.
    over : set of int
        Those that have run into labels that are there, and so are on no frame before;
        all planes of a propagation have this in common.
    """

    objects: frozenset[int]
    followed: frozenset[int]
    over: set[int]


@dataclass(frozen=True)
class PlaneMasks:
    """Masks of some objects in one plane.

    Attributes
    ----------
    plane, position
        Where.
    ids : (H, W) uint32
        Object ids, 0 elsewhere.
    prompts : dict of int to ObjectPrompts
        The objects ``ids`` speaks about, and the prompts each mask answers; empty
        prompts for masks that were propagated.
    facts : dict of int to Facts
        Scores and measures of these objects.
    corner : (int, int)
        Row and column, in the plane, of the first pixel of ``ids``, which may be a part
        of it; the objects have no pixels outside.
    early : Early or None
        Where some of the objects are on a frame before their first prompt.
    """

    plane: tuple[int, int]
    position: tuple[int, ...]
    ids: NDArray[np.uint32]
    prompts: dict[int, ObjectPrompts]
    facts: dict[int, Facts] = field(default_factory=dict)
    corner: tuple[int, int] = (0, 0)
    early: Early | None = None


@dataclass(frozen=True)
class Passed:
    """A frame on the way to those that are to be filled has been worked through."""


@dataclass(frozen=True)
class Found:
    """Devices of this computer, and models that need a download (with bytes)."""

    devices: list[str]
    missing: dict[str, int]


@dataclass(frozen=True)
class Loaded:
    """A model is ready: its name, the device it is on, whether it has close-ups.

    ``glimpse_ms`` is what it takes for a click, None as long as that is not known.
    """

    model: str
    device: str
    closeups: bool = False
    glimpse_ms: float | None = None


@dataclass(frozen=True)
class Took:
    """Milliseconds from the prompts of a click to its mask, and where it looked.

    ``looked`` is None for the whole plane.
    """

    milliseconds: float
    looked: Looked | None = None


@dataclass(frozen=True)
class Relabelled:
    """In one plane labels are to become others; 0 erases."""

    plane: tuple[int, int]
    position: tuple[int, ...]
    table: dict[int, int]
