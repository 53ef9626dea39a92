"""Errors a user can cause or must hear about; every message says what to do."""

from __future__ import annotations


class Sam2Error(Exception):
    """Base of all errors raised by :mod:`sam2_core`.

    Deliberately not a :class:`RuntimeError`: Qt's generator workers swallow those.
    """


class CheckpointError(Sam2Error):
    """A weight file is missing, broken, of a foreign kind or could not be fetched."""


class ImageError(Sam2Error):
    """An image, stack or file cannot be used as it is."""


class PromptError(Sam2Error):
    """A prompt is malformed, outside the image or contradictory."""


class InferenceError(Sam2Error):
    """The model could not run: out of memory, device lost, numeric failure."""


class OutOfMemoryError(InferenceError):
    """The device has not enough memory for this model."""


class Cancelled(Sam2Error):
    """The user stopped the job; nothing is wrong."""
