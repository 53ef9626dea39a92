"""How every call into the network is made: no gradients, and errors a user can read."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

import torch

from sam2_core.errors import InferenceError, OutOfMemoryError

if TYPE_CHECKING:
    from collections.abc import Iterator


class _WithoutPlans:
    """Attention of cuDNN, left out while any thread runs the network.

    It makes a plan for every new length of memory, and lengths change with each of the
    first frames and whenever objects come or go: of 69 ms that a frame took on an H200
    43 were planning.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._running = 0
        self._was_on = False

    def __enter__(self) -> None:
        with self._lock:
            if not self._running:
                self._was_on = torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
                torch.backends.cuda.enable_cudnn_sdp(False)
            self._running += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._running -= 1
            if not self._running:
                torch.backends.cuda.enable_cudnn_sdp(self._was_on)


_without_plans = _WithoutPlans()


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
        with torch.inference_mode(), _without_plans:
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
