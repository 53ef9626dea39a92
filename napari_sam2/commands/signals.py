"""Signals that end a command: as Ctrl-C does, so that nothing half-written stays."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Windows has no SIGHUP.
_ENDING = [
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class _Ended(KeyboardInterrupt):
    """Not the plain one, which Python answers with SIGINT if it crossed an exec()."""


@contextmanager
def as_interrupts() -> Iterator[list[int]]:
    """Let SIGTERM and SIGHUP raise KeyboardInterrupt inside the block.

    What the process ignores, as under nohup, or has a handler for is left alone; so is
    everything outside of the main thread, where handlers cannot be set.

    Yields
    ------
    list of int
        The signals that came.
    """
    came: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        came.append(number)
        if number == came[0]:  # who sends both at once must not stop the clean-up
            raise _Ended

    taken = []
    try:
        for number in _ENDING:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, interrupt)
                taken.append(number)
    except ValueError:
        pass
    try:
        yield came
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def end_at_once() -> None:
    """Give SIGTERM and SIGHUP their usual effect: windows have no clean-up to do."""
    for number in _ENDING:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
