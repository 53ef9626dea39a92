"""Detectors of other packages, each used only if the user has installed it."""

from __future__ import annotations

import importlib
import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from sam2_core.annotate.detections import Detections, boxes_of_labels, grey
from sam2_core.errors import InferenceError
from sam2_core.nms import box_nms

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

TEXT_MODEL = "google/owlv2-base-patch16-ensemble"


class UltralyticsBoxes:
    """Boxes of a YOLO model; needs the package ultralytics.

    Parameters
    ----------
    weights : str
        Such as "yolov8x.pt": a file, or a name that ultralytics downloads.
    conf, iou : float
        Lowest score, and the overlap above which the worse box is dropped.
    imgsz, max_det : int
        Size to which images are scaled, and the most boxes per image.
    classes : sequence of int, optional
        Numbers of the classes to keep; all by default.
    device : str
        "auto", "cpu", "cuda", "cuda:N", "mps".

    Raises
    ------
    InferenceError
        The package is missing, or it cannot load the weights.
    """

    def __init__(
        self,
        weights: str = "yolo11x.pt",
        conf: float = 0.25,
        iou: float = 0.45,
        imgsz: int = 640,
        max_det: int = 300,
        classes: Sequence[int] | None = None,
        device: str = "auto",
    ) -> None:
        package = _require("ultralytics", "ultralytics", "AGPL-3.0", "its weights too")
        with _foreign(f"ultralytics cannot load {weights!r}"):
            self._model = package.YOLO(weights)
            names = dict(self._model.names)
        self._names = {int(index): str(name) for index, name in names.items()}
        self._options = {
            "conf": conf,
            "iou": iou,
            "imgsz": imgsz,
            "max_det": max_det,
            "classes": None if classes is None else list(classes),
        }
        self._device = None if device in ("auto", "") else device
        last = max(self._names, default=-1)
        self.class_names = tuple(self._names.get(i, str(i)) for i in range(last + 1))
        settings = " ".join(f"{key}={value}" for key, value in self._options.items())
        self.description = f"ultralytics {weights} {settings}"

    def __call__(self, image: NDArray[np.uint8], path: Path, /) -> Detections:
        """Boxes in the image; `path` does not matter."""
        blue_first = np.ascontiguousarray(image[..., ::-1])
        with _foreign("ultralytics failed"):
            result = self._model.predict(
                blue_first, device=self._device, verbose=False, **self._options
            )[0]
            boxes = _array(result.boxes.xyxy)
            scores, kinds = _array(result.boxes.conf), _array(result.boxes.cls)
        names = [self._names.get(int(kind), str(int(kind))) for kind in kinds]
        return Detections.of(boxes, names, scores)


class CellposeBoxes:
    """Boxes around the cells that Cellpose finds; needs the package cellpose.

    Parameters
    ----------
    model_name : str, optional
        A model of the installed version ("cyto3", "nuclei", "cpsam") or a file; that
        version's own default if it is not given.
    diameter : float, optional
        Of a cell in pixels; estimated by default.
    name : str
        Class of the objects.
    device : str
        "auto", "cpu", "cuda", "cuda:N", "mps".

    Raises
    ------
    InferenceError
        The package is missing, or it cannot load the model.
    """

    def __init__(
        self,
        model_name: str | None = None,
        diameter: float | None = None,
        name: str = "cell",
        device: str = "auto",
    ) -> None:
        models = _require(
            "cellpose.models",
            "cellpose",
            "BSD-3-Clause",
            "its model cpsam: CC-BY-NC, not for commercial use",
        )
        from sam2_core.devices import choose_device

        kind = models.CellposeModel
        options: dict[str, Any] = {"gpu": choose_device(device).type != "cpu"}
        if model_name:
            # Version 4 has one built-in model and takes names and files alike.
            parameter = inspect.signature(kind).parameters.get("pretrained_model")
            modern = parameter is not None and isinstance(parameter.default, str)
            options["pretrained_model" if modern else "model_type"] = model_name
        with _foreign(f"Cellpose cannot load {model_name or 'its model'!r}"):
            self._model = kind(**options)
        self._diameter = diameter
        self.class_names = (name,)
        self.description = f"cellpose {model_name} diameter={diameter} name={name}"

    def __call__(self, image: NDArray[np.uint8], path: Path, /) -> Detections:
        """Boxes in the image; `path` does not matter."""
        with _foreign("Cellpose failed"):
            labels = self._model.eval(_plain(image), diameter=self._diameter)[0]
            boxes = boxes_of_labels(np.asarray(labels, np.int64))[0]
        return Detections.of(boxes, self.class_names[0])


class StarDistBoxes:
    """Boxes around the nuclei that StarDist finds; needs the package stardist.

    Parameters
    ----------
    model_name : str
        One of its pretrained 2D models, such as "2D_versatile_fluo" (grey) or
        "2D_versatile_he" (colour).
    name : str
        Class of the objects.

    Raises
    ------
    InferenceError
        The package is missing, or it has no such model.
    """

    def __init__(
        self, model_name: str = "2D_versatile_fluo", name: str = "nucleus"
    ) -> None:
        models = _require(
            "stardist.models",
            "stardist tensorflow",
            "BSD-3-Clause, TensorFlow: Apache-2.0",
        )
        with _foreign(f"StarDist cannot load {model_name!r}"):
            self._model = models.StarDist2D.from_pretrained(model_name)
        if self._model is None:
            raise InferenceError(
                f"StarDist has no model {model_name!r}: use 2D_versatile_fluo or "
                "2D_versatile_he."
            )
        self.class_names = (name,)
        self.description = f"stardist {model_name} name={name}"

    def __call__(self, image: NDArray[np.uint8], path: Path, /) -> Detections:
        """Boxes in the image; `path` does not matter."""
        with _foreign("StarDist failed"):
            config = getattr(self._model, "config", None)
            colour = getattr(config, "n_channel_in", 1) == 3
            pixels = image.astype(np.float32) if colour else grey(image)
            low, high = np.percentile(pixels, (1, 99.8))
            scaled = (pixels - low) / max(high - low, 1e-6)
            labels, details = self._model.predict_instances(scaled)
            boxes, values = boxes_of_labels(np.asarray(labels, np.int64))
            # Label n is the n-th object of the details.
            scores = np.asarray(details["prob"], np.float32)[values - 1]
        return Detections.of(boxes, self.class_names[0], scores)


class TextBoxes:
    """Boxes of whatever a text names; needs the package transformers.

    Parameters
    ----------
    texts : str or sequence of str
        Such as "nucleus", or several kinds of objects.
    model_name : str
        A model for zero-shot object detection, which transformers downloads: OWLv2 by
        default, or for example "IDEA-Research/grounding-dino-tiny".
    conf, iou : float
        Lowest score, and the overlap above which the worse box of the same class is
        dropped.
    device : str
        "auto", "cpu", "cuda", "cuda:N", "mps".

    Raises
    ------
    InferenceError
        The package is missing, it cannot load the model, or there is no text.
    """

    def __init__(
        self,
        texts: str | Sequence[str],
        model_name: str = TEXT_MODEL,
        conf: float = 0.2,
        iou: float = 0.5,
        device: str = "auto",
    ) -> None:
        given = texts.split(",") if isinstance(texts, str) else texts
        words = tuple(dict.fromkeys(text.strip() for text in given if text.strip()))
        if not words:
            raise InferenceError('Say what to look for, such as "nucleus".')
        package = _require(
            "transformers", "transformers", "Apache-2.0", "OWLv2 too: Apache-2.0"
        )
        from sam2_core.devices import choose_device

        with _foreign(f"transformers cannot load {model_name!r}"):
            self._pipeline = package.pipeline(
                "zero-shot-object-detection",
                model=model_name,
                device=str(choose_device(device)),
            )
        self._limits = (conf, iou)
        # Grounding DINO was trained with sentences.
        sentences = "grounding" in model_name.casefold()
        self._asked = [f"{word.lower()}." if sentences else word for word in words]
        self.class_names = words
        self.description = f"text {','.join(words)} {model_name} conf={conf} iou={iou}"

    def __call__(self, image: NDArray[np.uint8], path: Path, /) -> Detections:
        """Boxes in the image; `path` does not matter."""
        from PIL import Image

        conf, iou = self._limits
        with _foreign("transformers failed"):
            found = self._pipeline(
                Image.fromarray(image),
                candidate_labels=self._asked,
                threshold=conf,
            )
            boxes = np.array(
                [
                    [entry["box"][key] for key in ("xmin", "ymin", "xmax", "ymax")]
                    for entry in found
                ],
                np.float32,
            ).reshape(-1, 4)
            names = [self._class(str(entry["label"])) for entry in found]
            scores = np.array([entry["score"] for entry in found], np.float32)
        keep: list[int] = []
        for name in dict.fromkeys(names):
            rows = np.array([i for i, other in enumerate(names) if other == name])
            keep += rows[box_nms(boxes[rows], scores[rows], iou)].tolist()
        keep.sort(key=lambda i: -scores[i])
        return Detections.of(boxes[keep], [names[i] for i in keep], scores[keep])

    def _class(self, label: str) -> str:
        """The text as it was given: some models hand back pieces of it."""
        plain = label.strip(" .").casefold()
        matches = [word for word in self.class_names if word.casefold() == plain]
        return matches[0] if matches else label


def _require(module: str, install: str, licence: str, more: str = "") -> Any:
    """Import a package that we do not depend on, or say how to get it."""
    top = module.partition(".")[0]
    try:
        importlib.import_module(top)
        return importlib.import_module(module)
    except ImportError as error:
        missing = getattr(error, "name", None) in (None, top)
        reason = "is not installed" if missing else f"cannot be imported ({error})"
        terms = f"{licence}; {more}" if more else licence
        raise InferenceError(
            f"The package {top} {reason}: run `pip install {install}` (licence of the "
            f"package: {terms})."
        ) from error


@contextmanager
def _foreign(what: str) -> Iterator[None]:
    """Turn whatever another package raises into one sentence."""
    try:
        yield
    except Exception as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise InferenceError(f"{what}: {reason}") from error


def _array(tensor: Any) -> NDArray[np.float32]:
    return np.asarray(tensor.cpu() if hasattr(tensor, "cpu") else tensor, np.float32)


def _plain(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One channel where all three are the same."""
    same = (image[..., :1] == image).all()
    return image[..., 0] if same else image
