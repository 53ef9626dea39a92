"""Errors a user can cause or must hear about; every message says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Sam2Error(Exception):
    """Base of all errors raised by :mod:`sam2_core`.

    Deliberately not a :class:`RuntimeError`: Qt's generator workers swallow those.
    """


class CheckpointError(Sam2Error):
    """A weight file is missing, broken, of a foreign kind or could not be fetched."""


class ImageError(Sam2Error):
    """An image, stack or file cannot be used as it is."""


class AxesError(ImageError):
    """A file has more axes than are looked at: a position must be chosen.

    Attributes
    ----------
    problem : str
        What is wrong, for those who offer another remedy than ``select``.
    axes : tuple of int or str
        Axes to hold at one position.
    """

    def __init__(self, problem: str, axes: Iterable[int | str]) -> None:
        self.problem = problem
        self.axes = tuple(axes)
        example = ", ".join(f"{axis!r}: 0" for axis in self.axes)
        super().__init__(
            f"{problem}; choose a position, for example select={{{example}}}."
        )


class PromptError(Sam2Error):
    """A prompt is malformed, outside the image or contradictory."""


class InferenceError(Sam2Error):
    """The model could not run: out of memory, device lost, numeric failure."""


class OutOfMemoryError(InferenceError):
    """The device has not enough memory for this model."""


class Cancelled(Sam2Error):
    """The user stopped the job; nothing is wrong."""


def would_overwrite(problem: str, instead: str, replaced: str = "it") -> str:
    """The sentence for files that are there already.

    Parameters
    ----------
    problem : str
        What is there.
    instead : str
        What can be chosen anew.
    replaced : str
        What would be overwritten.
    """
    return (
        f"{problem}: choose another {instead}, or allow to overwrite {replaced} "
        "(--overwrite, or overwrite=True in Python)."
    )
