"""``Results``: what a call of :class:`SAM` found in one image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from sam2_core.compat.detections import Boxes, Masks
from sam2_core.compat.drawing import colour_of, draw_boxes, paint_masks
from sam2_core.compat.reports import counted, objects, yolo_lines
from sam2_core.errors import ImageError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor

    Array = Tensor | NDArray[Any]

__all__ = ["Boxes", "Masks", "Results"]


class Results:
    """Masks, boxes and scores of the objects in one image.

    Parameters
    ----------
    orig_img : ndarray
        (H, W, 3) uint8, channels blue, green, red as everywhere in ultralytics.
    path : str
        Where the image comes from.
    names : dict of int to str
        Name of each class; for SAM the number of the prompt.
    boxes : Tensor, optional
        (N, 6) or (N, 7), see :class:`Boxes`.
    masks : Tensor, optional
        (N, H, W) bool.
    speed : dict of str to float, optional
        Milliseconds of "preprocess", "inference" and "postprocess".

    Attributes
    ----------
    orig_shape : tuple of int
        Height and width.
    boxes : Boxes or None
        Boxes, scores and classes.
    masks : Masks or None
        None where nothing was found.
    save_dir : str or None
        Folder the call wrote into.
    """

    # What other tasks of ultralytics find, never SAM.
    probs = keypoints = obb = None

    def __init__(
        self,
        orig_img: NDArray[np.uint8],
        path: str,
        names: dict[int, str],
        boxes: Array | None = None,
        masks: Array | None = None,
        speed: dict[str, float] | None = None,
    ) -> None:
        self.orig_img = orig_img
        self.orig_shape: tuple[int, int] = (orig_img.shape[0], orig_img.shape[1])
        self.path = path
        self.names = names
        self.boxes = None if boxes is None else Boxes(boxes, self.orig_shape)
        self.masks = None if masks is None else Masks(masks, self.orig_shape)
        self.speed: dict[str, float | None] = {
            **dict.fromkeys(("preprocess", "inference", "postprocess")),
            **(speed or {}),
        }
        self.save_dir: str | None = None

    def __len__(self) -> int:
        """Number of objects."""
        found = self.boxes if self.masks is None else self.masks
        return 0 if found is None else len(found)

    def __getitem__(self, index: Any) -> Results:
        """The result of some objects only."""
        if isinstance(index, (int, np.integer)) and not -len(self) <= index < len(self):
            raise IndexError(f"There are {len(self)} objects.")  # ends a for loop
        return self._apply(lambda found: found[index])

    def __repr__(self) -> str:
        return f"Results({len(self)} objects in {self.path}, {self.orig_shape})"

    def update(self, boxes: Array | None = None, masks: Array | None = None) -> None:
        """Replace boxes or masks."""
        if boxes is not None:
            self.boxes = Boxes(boxes, self.orig_shape)
        if masks is not None:
            self.masks = Masks(masks, self.orig_shape)

    def new(self) -> Results:
        """A result for the same image without objects."""
        return self._apply(lambda _: None)

    def cpu(self) -> Results:
        """A copy on the CPU."""
        return self._apply(lambda found: found.cpu())

    def cuda(self) -> Results:
        """A copy on the GPU."""
        return self._apply(lambda found: found.cuda())

    def numpy(self) -> Results:
        """A copy with NumPy arrays."""
        return self._apply(lambda found: found.numpy())

    def to(self, *args: Any, **kwargs: Any) -> Results:
        """A copy on another device."""
        return self._apply(lambda found: found.to(*args, **kwargs))

    # ------------------------------------------------------------------ pictures

    def plot(
        self,
        conf: bool = True,
        line_width: int | None = None,
        font_size: float | None = None,
        font: str = "",
        pil: bool = False,
        img: NDArray[np.uint8] | None = None,
        labels: bool = True,
        boxes: bool = True,
        masks: bool = True,
        show: bool = False,
        save: bool = False,
        filename: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Draw the objects over the image.

        Parameters
        ----------
        conf, labels, boxes, masks : bool
            What to draw: scores, class names, boxes (labels need them), masks.
        line_width, font_size : optional
            In pixels.
        font : str
            Ignored, Pillow's font is used.
        pil : bool
            Return a PIL image (RGB).
        img : ndarray, optional
            (H, W, 3) uint8 BGR image to draw on instead of the original.
        show, save : bool
            Also show it, or save it as ``filename``.
        filename : path, optional
            See :meth:`save`.
        **kwargs : Any
            Ignored: options of other tasks.

        Returns
        -------
        ndarray or PIL.Image.Image
            (H, W, 3) uint8 BGR.
        """
        image = np.ascontiguousarray((self.orig_img if img is None else img)[..., ::-1])
        if self.masks is not None and masks:
            colours = self._colours(len(self.masks))
            image = paint_masks(
                image, self.masks.numpy().data.astype(bool, copy=False), colours
            )
        picture = Image.fromarray(image)
        if self.boxes is not None and boxes:
            draw_boxes(
                picture,
                self.boxes.numpy().xyxy,
                [self._text(i, conf, labels) for i in range(len(self.boxes))],
                self._colours(len(self.boxes)),
                line_width,
                font_size,
            )
        if show:
            picture.show()
        if save:
            self._write(picture, filename)
        return picture if pil else np.asarray(picture)[..., ::-1].copy()

    def show(self, *args: Any, **kwargs: Any) -> None:
        """Open the drawing in the picture viewer of this computer; see :meth:`plot`."""
        self.plot(*args, **{**kwargs, "show": True})

    def save(
        self, filename: str | os.PathLike[str] | None = None, *args: Any, **kwargs: Any
    ) -> str:
        """Write the drawing into a picture file.

        Parameters
        ----------
        filename : path, optional
            Its suffix says the format; ``results_<name of the image>`` in the current
            folder by default.
        *args, **kwargs : Any
            As for :meth:`plot`.

        Returns
        -------
        str
            The file.

        Raises
        ------
        ImageError
            If it cannot be written.
        """
        return self._write(self.plot(*args, **{**kwargs, "pil": True}), filename)

    def save_crop(
        self, save_dir: str | os.PathLike[str], file_name: str | Path = "im.jpg"
    ) -> None:
        """Write the box of every object as a picture into ``save_dir/<class>/``."""
        if self.boxes is None:
            return
        height, width = self.orig_shape
        name = Path(file_name)
        for box, index in zip(
            self.boxes.numpy().xyxy, self.boxes.numpy().cls, strict=True
        ):
            x0, y0 = np.floor(box[:2]).astype(int).clip(0, (width - 1, height - 1))
            x1, y1 = np.ceil(box[2:]).astype(int).clip(0, (width - 1, height - 1))
            crop = self.orig_img[y0 : y1 + 1, x0 : x1 + 1, ::-1]
            folder = Path(save_dir) / self.names.get(int(index), str(int(index)))
            target, number = folder / name.with_suffix(".jpg").name, 1
            while target.exists():
                number += 1
                target = folder / f"{name.stem}{number}.jpg"
            self._write(Image.fromarray(np.ascontiguousarray(crop)), target)

    # ------------------------------------------------------------------ text

    def save_txt(
        self, txt_file: str | os.PathLike[str], save_conf: bool = False
    ) -> str:
        """Append a line per object: class and outline, in parts of the image size.

        Parameters
        ----------
        txt_file : path
            YOLO text file; its folder is created.
        save_conf : bool
            End each line with the score.

        Returns
        -------
        str
            The file; nothing is written where nothing was found.

        Raises
        ------
        ImageError
            If it cannot be written.
        """
        lines = yolo_lines(self, save_conf)
        path = Path(txt_file)
        if lines:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a", encoding="utf-8") as file:
                    file.writelines(lines)
            except OSError as error:
                raise ImageError(f"{path} cannot be written ({error}).") from error
        return str(txt_file)

    def verbose(self) -> str:
        """How many objects of each class, such as "1 0, 1 1, "."""
        return counted(self)

    def summary(
        self, normalize: bool = False, decimals: int = 5
    ) -> list[dict[str, Any]]:
        """One dict per object: name, class, confidence, box and segments."""
        return objects(self, normalize, decimals)

    def to_json(self, normalize: bool = False, decimals: int = 5) -> str:
        """:meth:`summary` as JSON text."""
        return json.dumps(self.summary(normalize, decimals), indent=2)

    tojson = to_json

    def to_df(self, normalize: bool = False, decimals: int = 5) -> pd.DataFrame:
        """:meth:`summary` as a pandas table (the original's is one of polars)."""
        import pandas as pd

        return pd.DataFrame(self.summary(normalize, decimals))

    def to_csv(self, normalize: bool = False, decimals: int = 5) -> str:
        """:meth:`to_df` as CSV text."""
        return str(self.to_df(normalize, decimals).to_csv(index=False))

    # ------------------------------------------------------------------ inside

    def _apply(self, change: Callable[[Any], Any]) -> Results:
        copy = Results(self.orig_img, self.path, self.names)
        copy.boxes = None if self.boxes is None else change(self.boxes)
        copy.masks = None if self.masks is None else change(self.masks)
        copy.speed, copy.save_dir = dict(self.speed), self.save_dir
        return copy

    def _colours(self, count: int) -> list[tuple[int, int, int]]:
        if self.boxes is None:
            return [colour_of(i) for i in range(count)]
        return [colour_of(int(index)) for index in self.boxes.cls.tolist()]

    def _text(self, i: int, conf: bool, labels: bool) -> str:
        assert self.boxes is not None
        if not labels:
            return ""
        index = int(self.boxes.cls[i])
        name = self.names.get(index, str(index))
        return f"{name} {float(self.boxes.conf[i]):.2f}" if conf else name

    def _write(
        self, picture: Image.Image, filename: str | os.PathLike[str] | None
    ) -> str:
        if filename is None:
            source = Path(self.path).name or "image.jpg"
            known = Path(source).suffix.lower() in Image.registered_extensions()
            filename = f"results_{source}" if known else f"results_{source}.jpg"
        try:
            Path(filename).parent.mkdir(parents=True, exist_ok=True)
            picture.save(filename)
        except (OSError, ValueError) as error:
            raise ImageError(
                f"{filename} cannot be written as a picture ({error})."
            ) from error
        return str(filename)
