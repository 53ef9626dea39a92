"""The real models, behind the protocol that the engine expects.

Everything that loads torch is imported inside the methods, which run in the worker.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any

from napari_sam2.engine._torch_libraries import loading
from sam2_core.errors import Sam2Error
from sam2_core.registry import CHECKPOINTS, find_checkpoint, is_available

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_sam2._images import LayerFrames
    from napari_sam2._jobs import Stop
    from napari_sam2.asking._models import Prediction, Predictor, Session


class Sam2Backend:
    """Models, predictors and sessions of :mod:`sam2_core`.

    Parameters
    ----------
    cache_bytes : int, optional
        How much of encoded frames each session keeps.
    """

    def __init__(self, cache_bytes: int | None = None) -> None:
        self.cache_bytes = cache_bytes

    def load_model(self, name: str, device: str, preset: str = "") -> Any:
        """A trained network on a device; CheckpointError if it is not here."""
        with loading():
            from sam2_core.models import load_model
            from sam2_core.presets import find_preset

            dtype = find_preset(preset).dtype if preset else "auto"
            return load_model(name, device=device, dtype=dtype)

    def predictor(self, model: Any) -> Predictor:
        """A predictor for single planes."""
        from sam2_core.image import ImagePredictor

        return ImagePredictor(model)

    def session(self, model: Any, frames: LayerFrames, preset: str = "") -> Session:
        """A session for a line of planes."""
        from sam2_core.video import VideoSession

        options: dict[str, Any] = {"preset": preset} if preset else {}
        return VideoSession(model, frames, cache_bytes=self.cache_bytes, **options)

    def blank(self, frames: LayerFrames, index: int) -> str:
        """Why a frame shows nothing to segment; "" if it does.

        Its middle nearly always says so, and large frames take long to read.
        """
        from sam2_core.intensity import has_contrast

        rows, columns = (slice(max(0, n // 2 - 32), n // 2 + 32) for n in frames.shape)
        if has_contrast(frames.crop(index, rows, columns)):
            return ""
        if has_contrast(frames.frame(index)):
            return ""
        name = "The image" if frames.axis is None else f"Frame {index}"
        return (
            f"{name} shows nothing to segment, as all of it looks the same; change the "
            "contrast limits or undo the prompt."
        )

    def warm(self, session: Any, index: int) -> None:
        """Encode a frame of a session, unless it was encoded lately."""
        from sam2_core.inference import inference

        with inference():
            if session.closeups(index) is None:  # they do without
                session.frame_features(index)

    def glance(self, session: Any, index: int, xy: Any, labels: Any) -> Prediction:
        """What a click on a frame of a session may mean; nothing is remembered."""
        from sam2_core.glance import glance

        return glance(session, index, xy, labels)

    def devices(self) -> list[str]:
        """Devices of this computer, "auto" first. Loads torch."""
        with loading():
            from sam2_core.devices import available_devices

            return ["auto", *available_devices()]

    def missing(self) -> dict[str, int]:
        """Models that need a download, with their size in bytes (0: bundled, lost)."""
        return {
            name: checkpoint.bytes
            for name, checkpoint in CHECKPOINTS.items()
            if not is_available(name)
        }

    def download(self, name: str, stop: Stop) -> Iterator[tuple[int, int]]:
        """Fetch and verify a checkpoint; yields (bytes done, bytes in all)."""
        from sam2_core.download import download

        total = find_checkpoint(name).bytes
        steps: queue.SimpleQueue[tuple[int, int] | Sam2Error | None] = (
            queue.SimpleQueue()
        )

        def fetch() -> None:
            try:
                download(
                    name,
                    progress=lambda done, size: steps.put((done, size)),
                    cancel=stop,
                )
                steps.put(None)
            except Sam2Error as error:
                steps.put(error)
            except Exception as error:  # noqa: BLE001  must reach the other thread
                steps.put(Sam2Error(f"The download failed: {error}"))

        threading.Thread(target=fetch, daemon=True).start()
        yield 0, total
        while (step := steps.get()) is not None:
            if isinstance(step, Sam2Error):
                raise step
            while not steps.empty():  # only the newest number is worth showing
                later = steps.get()
                if not isinstance(later, tuple):
                    steps.put(later)
                    break
                step = later
            yield step
