"""``SAM2VideoPredictor`` with the calls of ultralytics: prompt the first frame."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch

from sam2_core import models
from sam2_core.compat.sam import find_weights
from sam2_core.compat.sam_options import SamOptions
from sam2_core.compat.sam_prompts import SamPrompts
from sam2_core.compat.sam_result import result_of
from sam2_core.errors import ImageError, PromptError
from sam2_core.frames import open_frames
from sam2_core.intensity import check_contrast
from sam2_core.video import VideoSession

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sam2_core.compat.results import Results
    from sam2_core.frames import FrameSource
    from sam2_core.nn.sam2 import Sam2


class SAM2VideoPredictor:
    """Follows objects through a video or stack from prompts on its first frame.

    Parameters
    ----------
    cfg : Any
        Ignored.
    overrides : dict, optional
        ``model`` (as for :class:`SAM`) and options as for :meth:`SAM.predict`.

    Raises
    ------
    CheckpointError
        If there is no such model or its weights are not on this computer.
    Sam2Error
        If an option is unknown.
    """

    def __init__(
        self, cfg: Any = None, overrides: dict[str, Any] | None = None, **_: Any
    ) -> None:
        self.overrides = dict(overrides or {})
        name = self.overrides.pop("model", None) or "sam2_nano"
        self.options = SamOptions.of(self.overrides)
        self.model: Sam2 = models.load_model(
            find_weights(name), device=self.options.target() or "auto"
        )

    def __call__(
        self,
        source: Any = None,
        model: Any = None,
        stream: bool = False,
        bboxes: Any = None,
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
    ) -> list[Results] | Iterator[Results]:
        """Follow the prompted objects to the last frame.

        Parameters
        ----------
        source
            A video file, a TIFF stack, a folder of frames or an array (T, H, W) or
            (T, H, W, 3) RGB; see :func:`sam2_core.open_frames`.
        model : Any
            Ignored.
        stream : bool
            Return an iterator that does one frame at a time, instead of a list.
        bboxes, points, labels, masks : array_like, optional
            As for :meth:`SAM.predict`; masks have the size of the frame.

        Returns
        -------
        list of Results, or an iterator
            One per frame. An object that is not in a frame has no row there;
            ``boxes.id`` (from 1) and ``boxes.cls`` (from 0) say which prompt a row
            belongs to.

        Raises
        ------
        ImageError
            If the source cannot be read.
        PromptError
            If a prompt is missing, malformed or outside the frame.
        """
        if source is None:
            raise ImageError("There is no video: give a source.")
        prompts = SamPrompts.of(bboxes, points, labels, masks)
        if not prompts:
            raise PromptError(
                "There is no prompt: give points, bboxes or masks on the first frame."
            )
        found = self._stream(open_frames(source), str(source), prompts)
        return found if stream else list(found)

    def _stream(
        self, frames: FrameSource, path: str, prompts: SamPrompts
    ) -> Iterator[Results]:
        if prompts.masks is None:
            check_contrast(frames.frame(0), "Frame 0 of the source")
        session = VideoSession(self.model, frames)
        for i in range(len(prompts)):
            session.add_prompts(
                frame_index=0,
                object_id=i + 1,
                point_coords=None if prompts.points is None else prompts.points[i],
                point_labels=None if prompts.labels is None else prompts.labels[i],
                box=None if prompts.bboxes is None else prompts.bboxes[i],
                mask=None if prompts.masks is None else prompts.masks[i],
            )
        names = {i: str(i) for i in range(len(prompts))}
        report = self.options.report()
        before = time.perf_counter()
        for found in session.propagate(direction="forward"):
            after = time.perf_counter()
            ids = [i for i, mask in found.masks.items() if mask.any()]
            masks = torch.zeros(len(ids), *frames.shape, dtype=torch.bool)
            for row, i in zip(masks, ids, strict=True):
                row[:] = torch.from_numpy(found.masks[i])
            scores = torch.tensor([found.scores[i] for i in ids], dtype=torch.float32)
            result = result_of(
                frames.frame(found.frame_index),
                path,
                masks,
                scores,
                [i - 1 for i in ids],
                names,
                ids,
            )
            result.speed["inference"] = (after - before) * 1000
            yield report.add(result, f"frame_{found.frame_index + 1}")
            before = time.perf_counter()
