"""What a run over a data set did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    """

    output_dir: Path
    annotated: list[Path] = field(default_factory=list)
    objects: int = 0
    empty: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [
            f"{_count(len(self.annotated), 'image')} annotated with "
            f"{_count(self.objects, 'object')} in {self.output_dir}"
        ]
        if self.skipped:
            lines.append(f"{_count(len(self.skipped), 'image')} finished before")
        if self.empty:
            names = ", ".join(path.name for path in self.empty[:_FEW])
            more = ", ..." if len(self.empty) > _FEW else ""
            lines.append(
                f"{_count(len(self.empty), 'image')} without a detection: {names}{more}"
            )
        if self.failed:
            lines.append(f"{_count(len(self.failed), 'image')} failed:")
            lines += [f"  {path.name}: {why}" for path, why in self.failed.items()]
        return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
