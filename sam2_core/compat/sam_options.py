"""Options of ultralytics' predict calls, and what to do with results."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sam2_core.devices import choose_device
from sam2_core.errors import Sam2Error

if TYPE_CHECKING:
    import torch

    from sam2_core.compat.results import Results

logger = logging.getLogger(__name__)

# Understood by ultralytics, without meaning here.
_IGNORED = {
    *(
        "task",
        "mode",
        "model",
        "imgsz",
        "half",
        "rect",
        "batch",
        "augment",
        "visualize",
    ),
    *("agnostic_nms", "classes", "max_det", "retina_masks", "stream_buffer", "embed"),
    *("vid_stride", "show_labels", "show_conf", "show_boxes", "save_frames", "dnn"),
    *("compile", "plots", "workers", "seed", "deterministic", "save_dir"),
}


@dataclass(frozen=True)
class SamOptions:
    """Keyword arguments of a call.

    Attributes
    ----------
    conf : float
        Objects with a lower score are left out.
    iou : float
        Everything mode: of two boxes that overlap more, the better one stays.
    device : str, int or torch.device, optional
        "cpu", "cuda", "mps", 0 or "0" for the first GPU; where the model is by default.
    multimask_output : bool
        Three masks per prompt.
    points_stride, points_batch_size, point_grids, conf_thres, stability_score_thresh,
    stability_score_offset, crop_n_layers, crop_overlap_ratio, crop_downscale_factor,
    crop_nms_thresh
        Everything mode, named and set as in ultralytics. ``points_stride`` is the
        number of points along a side.
    verbose : bool
        Log a line per image.
    save, save_txt, save_conf, save_crop, show : bool
        Write drawings, YOLO text (with scores) and crops, or open the drawings.
    project, name : str
        Folder to write into; a number is added if it is there already.
    exist_ok : bool
        Write into a folder that is there already.
    line_width : int, optional
        Of boxes in drawings.
    """

    conf: float = 0.25
    iou: float = 0.7
    device: Any = None
    multimask_output: bool = False
    points_stride: int = 32
    points_batch_size: int = 64
    point_grids: Any = None
    conf_thres: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 0.95
    crop_n_layers: int = 0
    crop_overlap_ratio: float = 512 / 1500
    crop_downscale_factor: int = 1
    crop_nms_thresh: float = 0.7
    verbose: bool = True
    save: bool = False
    save_txt: bool = False
    save_conf: bool = False
    save_crop: bool = False
    show: bool = False
    project: str | None = None
    name: str | None = None
    exist_ok: bool = False
    line_width: int | None = None

    @classmethod
    def of(cls, given: dict[str, Any]) -> SamOptions:
        """Options from keyword arguments.

        Raises
        ------
        Sam2Error
            If one is unknown.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = [key for key in given if key not in known | _IGNORED]
        if unknown:
            raise Sam2Error(
                f"There is no option {unknown[0]!r}: the options are "
                f"{', '.join(sorted(known))}."
            )
        # None stands for the default, as in ultralytics.
        return cls(**{k: v for k, v in given.items() if k in known and v is not None})

    def target(self) -> torch.device | None:
        """The device asked for, None to stay."""
        name = "" if self.device is None else str(self.device).strip()
        if not name:
            return None
        return choose_device(f"cuda:{name}" if name.isdecimal() else name)

    def report(self) -> Report:
        """Where the results of a call go."""
        return Report(self)


class Report:
    """Logs, shows and saves results one after the other.

    Parameters
    ----------
    options : SamOptions
        What to do with them.
    """

    def __init__(self, options: SamOptions) -> None:
        self.options = options
        self.folder: Path | None = None

    def add(self, result: Results, stem: str) -> Results:
        """Do with a result what the options ask for.

        Parameters
        ----------
        result : Results
            Gets ``save_dir``.
        stem : str
            Name of the files to write.
        """
        options = self.options
        if options.verbose:
            height, width = result.orig_shape
            logger.info("%s: %dx%d %s", result.path, height, width, result.verbose())
        if options.save or options.save_txt or options.save_crop:
            if self.folder is None:
                self.folder = self._new_folder()
            result.save_dir = str(self.folder)
            if options.save:
                result.save(self.folder / f"{stem}.jpg", line_width=options.line_width)
            if options.save_txt:
                file = self.folder / "labels" / f"{stem}.txt"
                file.unlink(missing_ok=True)
                result.save_txt(file, options.save_conf)
            if options.save_crop:
                result.save_crop(self.folder / "crops", stem)
        if options.show:
            result.show(line_width=options.line_width)
        return result

    def _new_folder(self) -> Path:
        wanted = Path(self.options.project or "runs/segment") / (
            self.options.name or "predict"
        )
        folder, number = wanted, 1
        while folder.exists() and not self.options.exist_ok:
            number += 1
            folder = wanted.with_name(f"{wanted.name}{number}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Sam2Error(f"{folder} cannot be created ({error}).") from error
        return folder
