"""One thing that was done to labels, as the journal keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from napari_sam2._labels import Rules
from napari_sam2.asking._messages import Passed, PlaneMasks
from napari_sam2.history._plain_json import rules_as_json, rules_from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


class Opens(Protocol):
    """What is needed of an engine."""

    @property
    def opened(self) -> int:
        """Sessions that were given prompts so far."""


@dataclass(eq=False)
class Entry:
    """One thing that was done.

    Attributes
    ----------
    do : str
        "predict", "propagate", "restore" (show what was there before a prompt), "note"
        (the labels show the answer to prompts already), "paint" (pixels by hand),
        "erase" (an object from some frames), "relabel" (objects become others, or
        nothing), "clear" (forget an object's prompts or masks), "divide" (an object
        into its two parts), "add" (objects of a search), "found" (a plane with pixels
        from elsewhere, as it was) or "forget" (all prompts).
    what : dict
        The rest, in plain JSON.
    rules : list of (int, Rules)
        What was allowed to happen to labels that were there, from which of the planes
        written on.
    fresh : bool
        Whether the engine began a new session of its frames for it.
    computed, written : int
        Planes that were made, and those that came into the labels: fewer where the
        work was cancelled.
    passed : int
        Frames outside the range that were worked through on the way.
    ended : bool
        Whether a propagation came to its end: what has changed has been carried then.
    undone : bool
        Whether it was taken back. The model saw it all the same.
    """

    do: str
    what: dict[str, Any]
    rules: list[tuple[int, Rules]] = field(default_factory=list)
    fresh: bool = False
    computed: int = 0
    written: int = 0
    passed: int = 0
    ended: bool = False
    undone: bool = False

    @property
    def counts(self) -> bool:
        """Whether it must be done again; not if it was stopped before all results."""
        told = "set" in self.what or "unset" in self.what
        made = self.computed or self.passed
        return not self.asks or bool(made) or self.fresh or told

    @property
    def asks(self) -> bool:
        """Whether the model was asked."""
        return self.do in ("predict", "propagate")

    def write(self, rules: Rules) -> None:
        """One more plane came into the labels."""
        if self.rules_at(self.written) != rules:
            self.rules.append((self.written, rules))
        self.written += 1

    def rules_at(self, plane: int) -> Rules:
        """Rules that the plane of this number was written under."""
        held = [rules for first, rules in self.rules if first <= plane]
        return held[-1] if held else Rules()

    def as_json(self) -> dict[str, Any]:
        """The entry as it stands in a session file."""
        result = {"do": self.do, **self.what}
        if self.asks or self.computed:
            result["written"] = self.written
            if self.computed != self.written:
                result["computed"] = self.computed
        if self.passed:
            result["passed"] = self.passed
        if self.ended:
            result["ended"] = True
        if self.rules:
            result["rules"] = [
                {"from": first, **rules_as_json(rules)} for first, rules in self.rules
            ]
        if self.fresh:
            result["fresh"] = True
        if self.undone:
            result["undone"] = True
        return result

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Entry:
        """The inverse of :meth:`as_json`."""
        what = dict(content)
        do, fresh = str(what.pop("do")), bool(what.pop("fresh", False))
        undone, written = bool(what.pop("undone", False)), int(what.pop("written", 0))
        computed = int(what.pop("computed", written))
        passed, ended = int(what.pop("passed", 0)), bool(what.pop("ended", False))
        rules = [(int(r["from"]), rules_from_json(r)) for r in what.pop("rules", ())]
        counts = computed, written, passed
        return cls(do, what, rules, fresh, *counts, ended, undone)


def watch(
    entry: Entry, engine: Opens, items: Iterator[Any], stop: Callable[[], bool]
) -> Iterator[Any]:
    """Iterate over an engine's answer and count it; runs in the worker."""
    before = engine.opened
    for item in items:
        entry.fresh = engine.opened != before
        entry.computed += isinstance(item, PlaneMasks)
        entry.passed += isinstance(item, Passed)
        yield item
    entry.fresh = engine.opened != before
    entry.ended = entry.do == "propagate" and not stop()


def count_written(entries: Sequence[Entry], rules: Rules) -> None:
    """A plane that a job made came into the labels; ``entries`` are those of the job.

    The worker may be ahead, also in the next entry.
    """
    for entry in entries:
        if entry.written < entry.computed:
            entry.write(rules)
            return
