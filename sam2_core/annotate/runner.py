"""Every image of a data set: boxes from a detector, masks from SAM 2, files."""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from sam2_core.annotate.box_files import FileBoxes
from sam2_core.annotate.detections import Detections, describe
from sam2_core.annotate.images import find_images, without_twins
from sam2_core.annotate.outputs import check_formats
from sam2_core.annotate.records import ImageRecord
from sam2_core.annotate.specs import check_spec, make_detector
from sam2_core.annotate.store import ResultFolder
from sam2_core.annotate.summary import Summary
from sam2_core.errors import AxesError, Cancelled, ImageError, InferenceError, Sam2Error
from sam2_core.intensity import check_contrast, check_value_range, to_rgb8
from sam2_core.sources.frame_files import read_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from sam2_core.annotate.detections import Detector
    from sam2_core.annotate.segmenter import Segmenter
    from sam2_core.nn.sam2 import Sam2

    StrPath = str | os.PathLike[str]


def auto_annotate(
    data: StrPath | Sequence[StrPath],
    detector: str | Detector = "everything",
    model: StrPath | Sam2 = "sam2_nano",
    device: str = "auto",
    output_dir: StrPath | None = None,
    *,
    outputs: str | Sequence[str] = ("yolo",),
    dtype: str = "auto",
    value_range: tuple[float, float] | None = None,
    min_score: float | None = None,
    class_name: str | None = None,
    overwrite: bool = False,
    progress: bool | Callable[[int, int], None] = True,
    cancel: Callable[[], bool] | None = None,
) -> Summary:
    """Label every image of a folder.

    A run that was stopped goes on where it was: images that are finished are skipped,
    and no file is ever half-written. An image that cannot be done is reported in the
    summary and does not stop the run.

    Parameters
    ----------
    data : path-like or sequence of them
        A folder of images, one image, or several (then `output_dir` is needed).
    detector : str or Detector
        Finds the boxes; see :class:`sam2_core.annotate.Detector` for your own and
        :func:`sam2_core.annotate.make_detector` for what a text may be: "everything",
        "blobs:30", "boxes.csv", "labels:FOLDER", "yolov8x.pt", "text:nucleus" ...
    model : str, path-like or Sam2
        As in :func:`sam2_core.load_model`, or a loaded model.
    device, dtype : str
        As in :func:`sam2_core.load_model`.
    output_dir : path-like, optional
        Folder for the results, not that of the images; default:
        ``DIR_auto_annotate_labels`` beside ``DIR``.
    outputs : str or sequence of str
        Any of "yolo" (``NAME.txt``: class number and polygon, in fractions of the
        image), "coco" (``annotations.json`` for all images, masks with their holes) and
        "labels" (``masks/NAME.tif``, uint16 or uint32). ``classes.yaml`` lists the
        classes.
    value_range : (float, float), optional
        Pixel values shown as black and white; by default robust ones of each image.
    min_score : float, optional
        Detections with lower scores are dropped; from 0 to 1 for detectors given as
        text, but for files of boxes, which may have scores of their own kind.
    class_name : str, optional
        Class of the objects of a detector given as text that knows only one.
    overwrite : bool
        Do everything again and replace earlier results.
    progress : bool or callable
        A bar on a terminal; or called with the numbers of images done and in all.
    cancel : callable, optional
        Asked before each image; True stops the run.

    Returns
    -------
    Summary
        Counts, the images that failed, and boxes that could not be used as they are.

    Raises
    ------
    ImageError
        There are no images, the folder of results cannot be used, or there is no such
        detector or output.
    CheckpointError, InferenceError, PromptError
        The model or the detector cannot be used at all, or a file of boxes names none
        of the images.
    Cancelled
        `cancel` said so; a further call goes on.
    """
    if not (isinstance(detector, str) or callable(detector)):
        raise ImageError(
            f"A detector is a name or a function of image and path, not a "
            f"{type(detector).__name__}."
        )
    formats = check_formats(outputs)
    paths, usual = find_images(data)
    folder = Path(os.path.expanduser(output_dir or usual or ""))
    if output_dir is None and usual is None:
        raise ImageError(
            "Several images are given: say with output_dir where the results go."
        )
    if folder.resolve() in {path.parent.resolve() for path in paths}:
        raise ImageError(
            f"{folder} holds the images themselves: choose another folder for the "
            "results."
        )
    if isinstance(detector, str):
        check_spec(detector, min_score)
    if min_score is not None and not math.isfinite(min_score):
        raise ImageError(f"The lowest score must be a number, not {min_score:g}.")
    if value_range is not None:
        value_range = check_value_range(value_range)

    @cache
    def get_model() -> Sam2:
        if not isinstance(model, (str, os.PathLike)):
            return model
        from sam2_core.models import load_model

        return load_model(model, device, dtype)

    settings = {
        "detector": detector if isinstance(detector, str) else describe(detector),
        "model": _name_of(model),
        "value_range": str(value_range),
        "min_score": str(min_score),
        "class_name": str(class_name),
    }
    images, refused = without_twins(paths)
    summary = Summary(folder, failed=refused)
    with ResultFolder(folder, formats, settings, overwrite) as results:
        is_needed = results.check(images)
        if is_needed and isinstance(detector, str):
            detector = make_detector(detector, get_model, device, min_score, class_name)
        if is_needed and isinstance(detector, FileBoxes):
            summary.unmatched = detector.unmatched(paths)
        work = _Work(detector, get_model, value_range, min_score or 0)
        if is_needed:
            work.prepare()
        results.start(images)
        results.open_classes(getattr(detector, "class_names", ()))
        for path in _counted(images, progress):
            if cancel is not None and cancel():
                raise Cancelled("Stopped; a further run goes on from here.")
            _one(path, work, results, summary)
        results.write_coco(images)
    summary.cut, summary.outside = work.cut, work.outside
    return summary


class _Work:
    """Makes records of images."""

    def __init__(
        self,
        detector: str | Detector,
        get_model: Callable[[], Sam2],
        value_range: tuple[float, float] | None,
        min_score: float,
    ) -> None:
        self._detector = detector
        self._get_model = get_model
        self._value_range = value_range
        self._min_score = min_score
        self._segmenter: Segmenter | None = None
        self.cut = self.outside = 0

    def prepare(self) -> None:
        """Load the model: what goes wrong here is not the fault of an image."""
        from sam2_core.annotate.segmenter import Segmenter

        self._segmenter = Segmenter(self._get_model())

    def record(self, path: Path) -> ImageRecord:
        """Detect and segment."""
        assert self._segmenter is not None
        size = path.stat().st_size
        image = to_rgb8(read_image(path), self._value_range)
        hw = (image.shape[0], image.shape[1])
        detected = self._detect(image, path)
        found = detected.usable(hw, self._min_score)
        if len(found):
            check_contrast(image, path.name)
        objects = self._segmenter.objects(image, found)
        cut, outside = detected.beyond(hw, self._min_score)
        self.cut += cut
        self.outside += outside
        return ImageRecord(path.name, size, hw, tuple(objects))

    def _detect(self, image: NDArray[np.uint8], path: Path) -> Detections:
        assert not isinstance(self._detector, str)
        try:
            found = self._detector(image, path)
        except Sam2Error:
            raise
        except Exception as error:
            # A detector is anybody's code; one image must not stop the run.
            reason = " ".join(str(error).split()) or type(error).__name__
            raise InferenceError(f"The detector failed: {reason}") from error
        if not isinstance(found, Detections):
            raise InferenceError(
                f"The detector gave {type(found).__name__} instead of Detections."
            )
        return found


def _one(path: Path, work: _Work, results: ResultFolder, summary: Summary) -> None:
    """Do one image, or see that it is done; only a full disk and the like raises."""
    record = results.record(path)
    if record is not None:
        results.complete(path, record)
        summary.skipped.append(path)
        return
    try:
        record = work.record(path)
    except Cancelled:
        raise
    except AxesError as error:
        summary.failed[path] = f"{error.problem}: save one plane as a file of its own."
        return
    except (Sam2Error, OSError, MemoryError) as error:
        reason = " ".join(str(error).split())
        summary.failed[path] = reason or type(error).__name__
        return
    results.save(path, record)
    summary.annotated.append(path)
    summary.objects += len(record.objects)
    if not record.objects:
        summary.empty.append(path)


def _counted(
    paths: Sequence[Path], progress: bool | Callable[[int, int], None]
) -> Iterator[Path]:
    """The paths, one after the other, with progress after each."""
    if callable(progress):
        for done, path in enumerate(paths, start=1):
            yield path
            progress(done, len(paths))
        return
    # None: a bar on a terminal only.
    yield from tqdm(paths, unit="image", disable=None if progress else True)


def _name_of(model: StrPath | Sam2) -> str:
    if isinstance(model, (str, os.PathLike)):
        return os.fspath(model)
    return model.config.name
