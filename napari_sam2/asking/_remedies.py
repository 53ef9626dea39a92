"""What to try when a model is not there, or the device has not enough memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sam2._settings import takes_preset
from sam2_core.config import list_models

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari_sam2.asking._messages import Choice

TO_DOWNLOAD = "{} is not on this computer: press Download under Image and model."
SIZES = ("nano", "tiny", "small", "base_plus", "large")
LESS = {"best": "balanced", "balanced": "fast", "": "fast"}
"""Presets of stacks that need less memory than another; "" is as trained."""


@dataclass(frozen=True)
class Remedy:
    """A choice that needs less memory, and how to call it."""

    text: str
    model: str
    device: str
    preset: str = ""


def remedies(
    choice: Choice, missing: Collection[str], following: bool = False
) -> list[Remedy]:
    """Choices to offer, the one that changes least first.

    Parameters
    ----------
    choice : Choice
        What ran out of memory.
    missing : collection of str
        Models that are not on this computer.
    following : bool
        Whether that was in a stack, where presets help.
    """
    result = []
    model, device, preset = choice.model, choice.device, choice.preset
    if following and takes_preset(model) and preset in LESS:
        less = LESS[preset]
        result.append(Remedy(f"{less.capitalize()} preset", model, device, less))
    smaller = [
        name
        for name in list_models()
        if _size(name) < _size(model) and name not in missing
    ]
    if smaller:
        name = max(smaller, key=lambda n: (_size(n), _family(n) == _family(model)))
        result.append(Remedy("Smaller model", name, device, preset))
    if device != "cpu":
        result.append(Remedy("Use the CPU", model, "cpu", preset))
    return result


def _size(name: str) -> int:
    return next((i for i, size in enumerate(SIZES) if name.endswith(size)), len(SIZES))


def _family(name: str) -> str:
    return name.partition("_")[0]
