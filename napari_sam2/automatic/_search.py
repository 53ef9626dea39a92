"""Everything in a plane, on the worker's side: candidates and the way to them."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from napari_sam2.asking._messages import Choice, Found, Loaded, Say
from napari_sam2.asking._models import Backend
from napari_sam2.engine._backend import Sam2Backend
from napari_sam2.engine._engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_sam2._images import LayerFrames
    from napari_sam2._jobs import Stop
    from sam2_core.everything.candidates import MaskCandidate

Region: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True)
class SearchOptions:
    """How to search a plane.

    Attributes
    ----------
    region : (x0, y0, x1, y1)
        Part of the plane in pixels, x1 and y1 excluded; None for all of it.
    points_per_side : int
        Prompts along each side.
    crop_layers : int
        Repetitions on ever smaller pieces.
    """

    region: Region | None
    points_per_side: int
    crop_layers: int


@dataclass(frozen=True)
class Progress:
    """So many prompts of so many are done."""

    done: int
    total: int


@dataclass(frozen=True)
class Candidates:
    """All masks found in a plane, and from where on masks of this model are good.

    Attributes
    ----------
    masks : list of MaskCandidate
        Unfiltered.
    thresholds : (float, float)
        Predicted IoU and stability score.
    """

    masks: list[MaskCandidate]
    thresholds: tuple[float, float]


class SearchBackend(Backend, Protocol):
    """A backend that can also look for everything; replaced by fakes in tests."""

    def candidates(
        self,
        model: Any,
        image: NDArray[Any],
        options: SearchOptions,
        progress: Callable[[int, int], None],
        cancel: Stop,
    ) -> list[MaskCandidate]: ...

    def thresholds(self, model: Any) -> tuple[float, float]: ...


class Sam2SearchBackend(Sam2Backend):
    """The real search."""

    def candidates(
        self,
        model: Any,
        image: NDArray[Any],
        options: SearchOptions,
        progress: Callable[[int, int], None],
        cancel: Stop,
    ) -> list[MaskCandidate]:
        """Masks of everything in a uint8 RGB image; Cancelled if told to stop.

        ImageError if there is nothing to see.
        """
        from sam2_core.automatic import AutomaticMaskGenerator
        from sam2_core.intensity import check_contrast

        check_contrast(image, "The image")
        generator = AutomaticMaskGenerator(
            model,
            points_per_side=options.points_per_side,
            crop_n_layers=options.crop_layers,
        )
        return generator.candidates(
            image, region=options.region, progress=progress, cancel=cancel
        )

    def thresholds(self, model: Any) -> tuple[float, float]:
        """Predicted IoU and stability score from which masks of a model are good."""
        from sam2_core.automatic import suggested_thresholds

        return suggested_thresholds(model.config)


class SearchEngine(Engine):
    """Keeps one model and searches planes with it.

    Parameters
    ----------
    backend : SearchBackend
        Where models come from.
    """

    backend: SearchBackend

    def __init__(self, backend: SearchBackend) -> None:
        super().__init__(backend)

    def survey(self) -> Iterator[Found]:
        """Devices of this computer, and models that need a download."""
        yield Found(self.backend.devices(), self.backend.missing())

    def search(
        self, choice: Choice, frames: LayerFrames, options: SearchOptions, stop: Stop
    ) -> Iterator[Say | Loaded | Progress | Candidates]:
        """Look for everything in a plane; the last item has the candidates."""
        yield from self._load(choice)
        yield Say("Encoding the image …")
        image = frames.frame(0)
        said = False
        for item in _follow(
            lambda tell: self.backend.candidates(
                self._model, image, options, tell, stop
            )
        ):
            if not isinstance(item, Progress):
                yield Candidates(item, self.backend.thresholds(self._model))
                return
            if not said:
                yield Say("Searching …")
                said = True
            yield item


def _follow(
    call: Callable[[Callable[[int, int], None]], list[MaskCandidate]],
) -> Iterator[Progress | list[MaskCandidate]]:
    """Turn a call that reports its progress into an iterator; its result comes last.

    The call runs in a thread of its own, which has ended when the iterator has.
    """
    steps: queue.SimpleQueue[Progress | list[MaskCandidate] | Exception] = (
        queue.SimpleQueue()
    )

    def run() -> None:
        try:
            steps.put(call(lambda done, total: steps.put(Progress(done, total))))
        except Exception as error:  # noqa: BLE001  raised again by the other thread
            steps.put(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while True:
            step = steps.get()
            if isinstance(step, Exception):
                raise step
            yield step
            if isinstance(step, list):
                return
    finally:
        thread.join()
