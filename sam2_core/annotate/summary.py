"""What a run over a data set did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_FEW = 5


@dataclass
class Summary:
    """What a run did; its text is meant to be printed.

    Attributes
    ----------
    output_dir : Path
        Where the results are.
    annotated : list of Path
        Images done in this run.
    objects : int
        Objects in them.
    empty : list of Path
        Those of them without any object.
    skipped : list of Path
        Images that were finished before.
    failed : dict
        Image to one sentence on why it could not be done.
    unmatched : list of str
        Names of images in files of boxes for which there is no image.
    cut, outside : int
        Boxes that reached beyond their image and were cut at its border, and boxes that
        lay outside of it and were left out.
    """

    output_dir: Path
    annotated: list[Path] = field(default_factory=list)
    objects: int = 0
    empty: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)
    unmatched: list[str] = field(default_factory=list)
    cut: int = 0
    outside: int = 0

    def __str__(self) -> str:
        lines = [
            f"{_count(len(self.annotated), 'image')} annotated with "
            f"{_count(self.objects, 'object')} in {self.output_dir}"
        ]
        if self.skipped:
            lines.append(f"{_count(len(self.skipped), 'image')} finished before")
        if self.empty:
            names = few([path.name for path in self.empty])
            lines.append(
                f"{_count(len(self.empty), 'image')} without a detection: {names}"
            )
        if self.unmatched:
            number = _count(len(self.unmatched), "name")
            lines.append(f"boxes for {number} without an image: {few(self.unmatched)}")
        if self.cut:
            lines.append(
                f"{_count(self.cut, 'box', 'es')} reached beyond the image and "
                f"{'was' if self.cut == 1 else 'were'} cut at its border"
            )
        if self.outside:
            lines.append(
                f"{_count(self.outside, 'box', 'es')} outside of the image "
                f"{'was' if self.outside == 1 else 'were'} left out"
            )
        if self.failed:
            lines.append(f"{_count(len(self.failed), 'image')} failed:")
            lines += [f"  {path.name}: {why}" for path, why in self.failed.items()]
        return "\n".join(lines)


def few(names: Sequence[str]) -> str:
    """The first of the names, for a sentence."""
    return ", ".join(names[:_FEW]) + (", ..." if len(names) > _FEW else "")


def _count(number: int, noun: str, plural: str = "s") -> str:
    return f"{number} {noun}{'' if number == 1 else plural}"
