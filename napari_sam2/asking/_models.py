"""What the plugin needs of a model, its predictors and sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from napari_sam2._images import LayerFrames
    from napari_sam2._jobs import Stop


class Prediction(Protocol):
    """See :class:`sam2_core.Prediction`."""

    @property
    def masks(self) -> NDArray[np.bool_]: ...

    @property
    def scores(self) -> NDArray[np.float32]: ...


class Predictor(Protocol):
    """See :class:`sam2_core.ImagePredictor`."""

    def set_image(self, image: NDArray[np.uint8], /) -> None: ...

    def predict(
        self,
        point_coords: Any = None,
        point_labels: Any = None,
        box: Any = None,
        mask_input: Any = None,
        multimask_output: bool = True,
    ) -> Prediction: ...


class FrameMasks(Protocol):
    """See :class:`sam2_core.FrameResult`."""

    @property
    def frame_index(self) -> int: ...

    @property
    def masks(self) -> Mapping[int, NDArray[np.bool_]]: ...

    @property
    def reverse(self) -> bool: ...


class Session(Protocol):
    """See :class:`sam2_core.VideoSession`."""

    def add_prompts(
        self,
        frame_index: int,
        object_id: int,
        point_coords: Any = None,
        point_labels: Any = None,
        box: Any = None,
        mask: Any = None,
        clear_old: bool = True,
        shown: Any = None,
    ) -> FrameMasks: ...

    def clear_prompts(self, frame_index: int, object_id: int) -> Any: ...

    def remove_object(self, object_id: int) -> Any: ...

    def propagate(
        self,
        start: int | None = None,
        stop: int | None = None,
        direction: Any = "both",
        *,
        only_changed: bool = False,
        object_ids: Any = None,
        around: int | None = None,
        ended: Any = None,
        absent: Any = None,
        passed: bool = False,
    ) -> Iterator[FrameMasks]: ...


class Backend(Protocol):
    """Makes models, predictors and sessions; replaced by fakes in tests."""

    def load_model(self, name: str, device: str, preset: str = "") -> Any: ...

    def predictor(self, model: Any) -> Predictor: ...

    def session(self, model: Any, frames: LayerFrames, preset: str = "") -> Session: ...

    def blank(self, frames: LayerFrames, index: int) -> str: ...

    def warm(self, session: Any, index: int) -> None: ...

    def glance(self, session: Any, index: int, xy: Any, labels: Any) -> Prediction: ...

    def devices(self) -> list[str]: ...

    def missing(self) -> dict[str, int]: ...

    def download(self, name: str, stop: Stop) -> Iterator[tuple[int, int]]: ...
