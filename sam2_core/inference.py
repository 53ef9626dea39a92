"""How every call into the network is made: no gradients, and errors a user can read."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from sam2_core.errors import InferenceError, OutOfMemoryError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def inference() -> Iterator[None]:
    """Run network code without gradients and turn torch's errors into ours.

    Raises
    ------
    InferenceError
        In place of any RuntimeError of torch: a lost device, an operation the device
        lacks, out of memory (:class:`sam2_core.errors.OutOfMemoryError`).
    """
    try:
        with torch.inference_mode():
            yield
    except (RuntimeError, MemoryError) as error:
        raise _explained(error) from error


def _explained(error: Exception) -> InferenceError:
    text = str(error).strip().split("\n")[0]
    lowered = text.lower()
    if (
        isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError))
        or "out of memory" in lowered
        or "can't allocate memory" in lowered
    ):
        return OutOfMemoryError(
            "Not enough memory to run the model: use a smaller model, fewer prompts at "
            "once or the CPU, or close other programs."
        )
    return InferenceError(
        f"The model could not run ({text or type(error).__name__}): try another device "
        "or dtype, and report this if it happens on the CPU in float32."
    )
