"""Boxes from files: CSV, JSON, COCO, and YOLO text files."""

from __future__ import annotations

import csv
import io
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sam2_core.annotate.classes import CLASS_NAMES, class_names_beside
from sam2_core.annotate.detections import OBJECT, Detections
from sam2_core.annotate.summary import few
from sam2_core.errors import PromptError
from sam2_core.sources.frame_files import existing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SUFFIXES = (".csv", ".json", ".txt")
_MOST_CLASSES = 10_000

# Columns of a box; then those of an image, a class and a score.
_CORNERS = (
    ("x0", "y0", "x1", "y1"),
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("left", "top", "right", "bottom"),
)
_SIZES = (
    ("x", "y", "w", "h"),
    ("x", "y", "width", "height"),
    ("left", "top", "width", "height"),
    ("bbox_x", "bbox_y", "bbox_width", "bbox_height"),
)
_IMAGE = ("image", "file", "filename", "file_name", "image_name", "image_path", "path")
_CLASS = ("class", "label", "class_name", "label_name", "category", "name")
_SCORE = ("score", "confidence", "conf", "probability")


@dataclass(frozen=True)
class BoxRow:
    """One box of a file.

    Attributes
    ----------
    box : tuple of float
        Left, top, right, bottom; in pixels, or in fractions of the image.
    name : str
        Class.
    score : float
        1 unless the file gives one.
    normalised : bool
        Whether the box is in fractions.
    """

    box: tuple[float, float, float, float]
    name: str = OBJECT
    score: float = 1.0
    normalised: bool = False


class FileBoxes:
    """Boxes that another program or a person wrote into files.

    Parameters
    ----------
    path : path-like
        A CSV or JSON file for all images, or a folder with one ``NAME.txt`` (YOLO),
        ``NAME.csv`` or ``NAME.json`` for each image.

    Raises
    ------
    PromptError
        The file is of another kind or malformed; the message says where.
    ImageError
        There is no such file or folder.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = existing(path)
        self.description = f"boxes of {self._path.resolve()}"
        self._rows: dict[str, list[BoxRow]] = {}
        if self._path.is_dir():
            self._files = {
                file.stem: file
                for suffix in reversed(SUFFIXES)  # CSV wins over JSON and text
                for file in sorted(self._path.glob(f"*{suffix}"))
            }
            if not self._files:
                raise PromptError(
                    f"There are no boxes in {self._path}: a file {', '.join(SUFFIXES)} "
                    "for each image is needed."
                )
            self._texts = class_names_beside(self._path)
            self.class_names = self._texts or _numbers_in(self._files.values())
            return
        self._files = {}
        self._rows = read_boxes(self._path)
        if "" in self._rows and self._path.suffix.lower() != ".txt":
            raise PromptError(
                f"{self._path} does not say to which image its boxes belong: add a "
                "column or key image."
            )
        self._texts = class_names_beside(self._path.parent)
        names = (row.name for rows in self._rows.values() for row in rows)
        self.class_names = tuple(dict.fromkeys(names))
        if self._path.suffix.lower() == ".txt":
            self._rows = read_boxes(self._path, self._texts)
            self.class_names = self._texts or _numbers_in([self._path])

    def __call__(self, image: NDArray[np.uint8], path: Path, /) -> Detections:
        """Boxes of the image at `path`; none if the files do not mention it."""
        if path.stem in self._files:
            rows = read_boxes(self._files[path.stem], self._texts)
            found = [row for part in rows.values() for row in part]
        else:
            found = self._of(path)
        height, width = image.shape[:2]
        scale = np.array([width, height, width, height], np.float64)
        return Detections.of(
            [np.multiply(row.box, scale if row.normalised else 1) for row in found],
            [row.name for row in found],
            [row.score for row in found],
        )

    def unmatched(self, paths: Sequence[Path]) -> list[str]:
        """Names of images in the files that none of the images has.

        Parameters
        ----------
        paths : sequence of Path
            All images there are.

        Raises
        ------
        PromptError
            The files name images, but none of these.
        """
        known = {path.stem for path in paths} | {path.name for path in paths}
        named = [name for name, rows in self._rows.items() if name and rows]
        named += [name for name in self._files if name != CLASS_NAMES]
        found = [name for name in named if name not in known]
        if found and len(found) == len(named) and "" not in self._rows:
            raise PromptError(
                f"The boxes of {self._path} are for other images ({few(found)}) than "
                f"those given ({few([path.name for path in paths])}): the names must "
                "be the same."
            )
        return found

    def _of(self, path: Path) -> list[BoxRow]:
        for key in (path.name, path.stem, ""):
            if key in self._rows:
                return self._rows[key]
        return []


def read_boxes(path: Path, names: Sequence[str] = ()) -> dict[str, list[BoxRow]]:
    """Read one file of boxes.

    Parameters
    ----------
    path : Path
        CSV, JSON (ours or COCO) or YOLO text file.
    names : sequence of str
        Names of the class numbers of a YOLO file.

    Returns
    -------
    dict
        Name of the image, as in the file but without folders, to its boxes; the name
        is "" where the file gives none.

    Raises
    ------
    PromptError
        The file is of another kind or malformed; the message says where.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"{path} cannot be read as text: {error}.") from error
    suffix = path.suffix.lower()
    if suffix == ".csv":
        pairs = _csv(text, path)
    elif suffix == ".json":
        pairs = _json(text, path)
    elif suffix == ".txt":
        pairs = _yolo(text, path, names)
    else:
        raise PromptError(f"{path} holds no boxes: use {', '.join(SUFFIXES)}.")
    rows: dict[str, list[BoxRow]] = {}
    for image, row in pairs:
        found = rows.setdefault(image.replace("\\", "/").rpartition("/")[2], [])
        if row is not None:
            found.append(row)
    return rows


def _csv(text: str, path: Path) -> Iterator[tuple[str, BoxRow | None]]:
    try:
        dialect: Any = csv.Sniffer().sniff(text.partition("\n")[0], ",;\t")
    except csv.Error:
        dialect = csv.excel
    table = csv.reader(io.StringIO(text), dialect)
    header = [column.strip().casefold() for column in next(table, [])]
    corners = next((c for c in _CORNERS if set(c) <= set(header)), None)
    sizes = next((c for c in _SIZES if set(c) <= set(header)), None)
    columns = corners or sizes
    if columns is None:
        raise PromptError(
            f"{path} needs a first line such as image,x0,y0,x1,y1,class,score."
        )
    for number, cells in enumerate(table, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        entry = {key: cell.strip() for key, cell in zip(header, cells, strict=False)}
        try:
            box = _box([float(entry[key]) for key in columns], corners is None)
            score = float(_first(entry, _SCORE, 1))
        except (KeyError, ValueError) as error:
            raise PromptError(
                f"{path}, line {number}: {','.join(columns)} must be numbers of a box "
                "that is not empty."
            ) from error
        name = _first(entry, _CLASS, OBJECT)
        yield _first(entry, _IMAGE, ""), BoxRow(box, name, score)


def _json(text: str, path: Path) -> Iterator[tuple[str, BoxRow | None]]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PromptError(f"{path} is not JSON: {error}.") from error
    if isinstance(content, dict) and {"images", "annotations"} <= set(content):
        yield from _coco(content, path)
        return
    if isinstance(content, dict):
        entries = [(image, e) for image, es in content.items() for e in _list(es, path)]
        yield from ((str(image), None) for image in content)
    else:
        entries = [("", entry) for entry in _list(content, path)]
    for number, (image, entry) in enumerate(entries, start=1):
        if isinstance(entry, list):
            entry = {"box": entry}
        try:
            box = _box([float(value) for value in entry["box"]])
            score = float(entry.get("score", 1))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise PromptError(
                f'{path}, entry {number}: it must look like {{"image": "a.png", "box": '
                '[x0, y0, x1, y1], "class": "nucleus", "score": 0.9}.'
            ) from error
        image = image or str(_first(entry, _IMAGE, ""))
        yield image, BoxRow(box, str(_first(entry, _CLASS, OBJECT)), score)


def _coco(content: Any, path: Path) -> Iterator[tuple[str, BoxRow | None]]:
    try:
        images = {image["id"]: str(image["file_name"]) for image in content["images"]}
        categories = {c["id"]: str(c["name"]) for c in content.get("categories", ())}
        rows = []
        for entry in content["annotations"]:
            name = categories.get(entry.get("category_id"), OBJECT)
            box = _box([float(value) for value in entry["bbox"]], sizes=True)
            score = float(entry.get("score", 1))
            rows.append((images[entry["image_id"]], BoxRow(box, name, score)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PromptError(
            f"{path} is not a COCO file with images and boxes (bbox): {error}."
        ) from error
    yield from ((image, None) for image in images.values())
    yield from rows


def _yolo(
    text: str, path: Path, names: Sequence[str]
) -> Iterator[tuple[str, BoxRow | None]]:
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            index = int(words[0])
            values = [float(word) for word in words[1:]]
            score = values.pop() if len(values) == 5 else 1.0
            if len(values) == 4:
                x, y, w, h = values
                box = _box([x - w / 2, y - h / 2, w, h], sizes=True)
            else:  # a polygon
                points = np.array(values).reshape(-1, 2)
                box = _box([*points.min(0), *points.max(0)])
        except ValueError as error:
            raise PromptError(
                f"{path}, line {number}: a class number and x y width height, or the "
                "points of a polygon, are needed."
            ) from error
        name = names[index] if 0 <= index < len(names) else str(index)
        yield "", BoxRow(box, name, score, normalised=True)


def _numbers_in(files: Iterable[Path]) -> tuple[str, ...]:
    """Names for the classes of YOLO files without names, so that numbers stay."""
    largest = -1
    for file in files:
        if file.suffix.lower() != ".txt":
            continue
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            first = line.partition(" ")[0]
            if first.isdecimal() and int(first) < _MOST_CLASSES:
                largest = max(largest, int(first))
    return tuple(str(index) for index in range(largest + 1))


def _box(
    values: Sequence[float], sizes: bool = False
) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(value) for value in values)
    if sizes:
        x1, y1 = x0 + x1, y0 + y1
    if not (x0 < x1 and y0 < y1 and math.isfinite(x1 - x0 + y1 - y0)):
        raise ValueError("the box is empty")
    return x0, y0, x1, y1


def _first(entry: dict[str, Any], keys: Sequence[str], default: Any) -> Any:
    """Value of the first key that has one; 0 is one, such as a class or a score."""
    values = (entry[key] for key in keys if entry.get(key) not in (None, ""))
    return next(values, default)


def _list(content: Any, path: Path) -> list[Any]:
    if not isinstance(content, list):
        raise PromptError(f"{path} must hold a list of boxes, for each image one.")
    return content
