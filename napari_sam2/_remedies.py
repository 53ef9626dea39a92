"""What to try when the device has not enough memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sam2_core.config import list_models

if TYPE_CHECKING:
    from collections.abc import Collection

SIZES = ("nano", "tiny", "small", "base_plus", "large")


@dataclass(frozen=True)
class Remedy:
    """A choice that needs less memory, and how to call it."""

    text: str
    model: str
    device: str


def remedies(model: str, device: str, missing: Collection[str]) -> list[Remedy]:
    """Choices to offer, the one that changes least first.

    Parameters
    ----------
    model, device : str
        What ran out of memory.
    missing : collection of str
        Models that are not on this computer.
    """
    result = []
    smaller = [
        name
        for name in list_models()
        if _size(name) < _size(model) and name not in missing
    ]
    if smaller:
        name = max(smaller, key=lambda n: (_size(n), _family(n) == _family(model)))
        result.append(Remedy("Smaller model", name, device))
    if device != "cpu":
        result.append(Remedy("Use the CPU", model, "cpu"))
    return result


def _size(name: str) -> int:
    return next((i for i, size in enumerate(SIZES) if name.endswith(size)), len(SIZES))


def _family(name: str) -> str:
    return name.partition("_")[0]
