"""``SAM`` with the calls of ultralytics."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import torch

from sam2_core import models
from sam2_core.compat.model_info import ModelInfo, log_info, model_info
from sam2_core.compat.sam_options import SamOptions
from sam2_core.compat.sam_prompts import SamPrompts
from sam2_core.compat.sam_result import result_of
from sam2_core.compat.sources import Picture, pictures
from sam2_core.config import VARIANTS
from sam2_core.devices import choose_device
from sam2_core.errors import CheckpointError, ImageError
from sam2_core.image import ImagePredictor
from sam2_core.intensity import has_contrast
from sam2_core.registry import cache_dir, is_available, model_path

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from torch import Tensor

    from sam2_core.compat.results import Results
    from sam2_core.nn.sam2 import Sam2

logger = logging.getLogger(__name__)

_SIZES = {"t": "tiny", "s": "small", "b": "base_plus", "l": "large"}


class SAM:
    """A SAM 2 that segments pictures from points, boxes, masks or by itself.

    Parameters
    ----------
    model : str or path
        ``"sam2_t.pt"``, ``"sam2.1_b.pt"`` and so on (sizes t, s, b, l): such a file in
        the current folder or beside the downloaded checkpoints, else the official
        checkpoint of that size. Or one of :func:`sam2_core.list_models`, or the path of
        a weight file.

    Attributes
    ----------
    model : Sam2
        The network.
    ckpt_path : str
        Its weight file.
    task : str
        Always "segment".

    Raises
    ------
    CheckpointError
        If there is no such model or its weights are not on this computer.
    """

    task = "segment"

    def __init__(self, model: str | os.PathLike[str] = "sam2_nano") -> None:
        chosen = find_weights(model)
        self.model: Sam2 = models.load_model(chosen)
        file = model_path(chosen) if chosen in VARIANTS else Path(chosen)
        self.ckpt_path = str(file)
        self._predictor = ImagePredictor(self.model)
        self._picture: Picture | None = None

    @overload
    def predict(
        self, source: Any = None, stream: Literal[False] = False, *a: Any, **k: Any
    ) -> list[Results]: ...

    @overload
    def predict(
        self, source: Any, stream: Literal[True], *a: Any, **k: Any
    ) -> Iterator[Results]: ...

    def predict(
        self,
        source: Any = None,
        stream: bool = False,
        bboxes: Any = None,
        points: Any = None,
        labels: Any = None,
        masks: Any = None,
        **kwargs: Any,
    ) -> list[Results] | Iterator[Results]:
        """Segment pictures: what is prompted, or everything without prompts.

        Parameters
        ----------
        source
            Path of a picture, video, TIFF stack or folder, an array (channels blue,
            green, red), a PIL image, a tensor, or a list of these; see
            :func:`sam2_core.compat.sources.pictures`. The prompts go for each picture.
            The last picture again by default, which is fast.
        stream : bool
            Return an iterator that does one picture at a time, instead of a list.
        bboxes : array_like, optional
            (4,) or (N, 4) x0, y0, x1, y1 in pixels.
        points : array_like, optional
            (2,), (N, 2) with one point for each of N objects, or (N, P, 2), x then y.
        labels : array_like, optional
            1 positive and 0 negative, one per point; all positive by default.
        masks : array_like, optional
            (N, h, w) masks of the size of the image, or low-resolution logits.
        **kwargs : Any
            See :class:`SamOptions`.

        Returns
        -------
        list of Results, or an iterator
            One per picture or frame; without masks, and with a warning in the log, if
            all pixels are the same.

        Raises
        ------
        ImageError
            If the source cannot be read.
        PromptError
            If a prompt is malformed or outside a picture.
        Sam2Error
            If an option is unknown.
        """
        options = SamOptions.of(kwargs)
        prompts = SamPrompts.of(bboxes, points, labels, masks)
        target = options.target()
        if target is not None:
            self.to(target)
        if source is None and self._picture is None:
            raise ImageError("There is no picture yet: give a source.")
        found = self._stream(source, prompts, options)
        return found if stream else list(found)

    __call__ = predict

    def info(self, detailed: bool = False, verbose: bool = True) -> ModelInfo:
        """Count layers, parameters, gradients and GFLOPs.

        Parameters
        ----------
        detailed : bool
            Also log the shape of every parameter.
        verbose : bool
            Log the result.

        Returns
        -------
        ModelInfo
            Four numbers; ``name``, ``megabytes`` and a readable ``str`` besides.
        """
        info = model_info(self.model, Path(self.ckpt_path))
        if verbose:
            log_info(self.model, info, detailed)
        return info

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    def to(self, device: str | torch.device) -> Self:
        """Move the model."""
        target = choose_device(device)
        if target != self.model.device:
            self.model.to(target)
            if self._predictor.is_image_set:
                self._predictor.reset()
                if self._picture is not None:
                    self._predictor.set_image(self._picture.rgb)
        return self

    def cpu(self) -> Self:
        """Move the model to the CPU."""
        return self.to("cpu")

    def cuda(self) -> Self:
        """Move the model to the GPU."""
        return self.to("cuda")

    # ------------------------------------------------------------------ inside

    def _stream(
        self, source: Any, prompts: SamPrompts, options: SamOptions
    ) -> Iterator[Results]:
        report = options.report()
        if source is None:
            assert self._picture is not None
            chosen: Iterator[Picture] = iter([self._picture])
        else:
            chosen = pictures(source)
        while True:
            times = [time.perf_counter()]
            picture = next(chosen, None)
            if picture is None:
                return
            times.append(time.perf_counter())
            if not has_contrast(picture.rgb):
                masks, scores = self._nothing(picture)
            elif prompts:
                masks, scores = self._prompted(picture, prompts, options)
            else:
                masks, scores = self._everything(picture, options)
            times.append(time.perf_counter())
            names = {i: str(i) for i in range(len(masks))}
            kept = (scores > options.conf).nonzero().flatten()
            result = result_of(
                *(picture.rgb, picture.path, masks[kept], scores[kept]),
                *(kept.tolist(), names),
            )
            times.append(time.perf_counter())
            parts = ("preprocess", "inference", "postprocess")
            result.speed = {
                part: (after - before) * 1000
                for part, before, after in zip(
                    parts, times[:-1], times[1:], strict=True
                )
            }
            yield report.add(result, picture.stem)

    def _nothing(self, picture: Picture) -> tuple[Tensor, Tensor]:
        """No masks, as it shows nothing; pictures that follow are still segmented."""
        logger.warning(
            "%s shows nothing to segment, as all of it looks the same.", picture.path
        )
        self._predictor.reset()
        self._picture = picture
        return torch.zeros(0, *picture.rgb.shape[:2], dtype=torch.bool), torch.zeros(0)

    def _prompted(
        self, picture: Picture, prompts: SamPrompts, options: SamOptions
    ) -> tuple[Tensor, Tensor]:
        if picture is not self._picture or not self._predictor.is_image_set:
            self._predictor.set_image(picture.rgb)
        self._picture = picture
        prediction = self._predictor.predict(
            prompts.points,
            prompts.labels,
            prompts.bboxes,
            prompts.mask_logits(self.model.config.low_res_size),
            multimask_output=options.multimask_output,
        )
        masks = torch.from_numpy(prediction.masks).flatten(0, 1)
        return masks, torch.from_numpy(prediction.scores).flatten()

    def _everything(
        self, picture: Picture, options: SamOptions
    ) -> tuple[Tensor, Tensor]:
        from sam2_core.automatic import AutomaticMaskGenerator, fitting_thresholds

        if picture is not self._picture:
            self._predictor.reset()
        self._picture = picture
        grids = options.point_grids
        iou, stability = fitting_thresholds(
            self.model.config,
            (options.conf_thres, options.stability_score_thresh),
            (SamOptions.conf_thres, SamOptions.stability_score_thresh),
        )
        generator = AutomaticMaskGenerator(
            self.model,
            points_per_side=options.points_stride if grids is None else None,
            points_per_batch=options.points_batch_size,
            pred_iou_thresh=iou,
            stability_score_thresh=stability,
            stability_score_offset=options.stability_score_offset,
            box_nms_thresh=options.iou,
            crop_n_layers=options.crop_n_layers,
            crop_nms_thresh=options.crop_nms_thresh,
            crop_overlap_ratio=options.crop_overlap_ratio,
            crop_n_points_downscale_factor=options.crop_downscale_factor,
            point_grids=grids,
        )
        records = generator.generate(picture.rgb)
        masks = torch.zeros(len(records), *picture.rgb.shape[:2], dtype=torch.bool)
        for mask, record in zip(masks, records, strict=True):
            mask[:] = torch.from_numpy(record["segmentation"])
        scores = [record["predicted_iou"] for record in records]
        return masks, torch.tensor(scores, dtype=torch.float32)


def find_weights(model: str | os.PathLike[str]) -> str:
    """Our name or the path of the weights that a name of ultralytics means.

    Raises
    ------
    CheckpointError
        If the weights are not on this computer or are not those of a SAM 2.
    """
    text = str(model)
    if text in VARIANTS or Path(text).is_file():
        return text
    if text != Path(text).name:
        return text  # a path: loading says what is wrong with it
    if (cache_dir() / text).is_file():
        return str(cache_dir() / text)
    match = re.fullmatch(r"(sam2(?:\.1)?)_([tsbl])(?:\.pt)?", text)
    if match is None:
        raise CheckpointError(
            f"There is no model {text!r}: use sam2_t.pt, sam2.1_b.pt (sizes t, s, b, "
            f"l), the path of a weight file or one of {', '.join(VARIANTS)}."
        )
    variant = f"{match[1]}_hiera_{_SIZES[match[2]]}"
    if not is_available(variant):
        raise CheckpointError(
            f"The weights {text} are not on this computer: run `napari-sam2 models "
            f"download {variant}`, or put the file into {cache_dir()}."
        )
    return variant
