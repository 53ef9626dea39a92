"""The folder of results: what is finished, and what belongs to other settings."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Self

from filelock import FileLock, Timeout

from sam2_core.annotate.classes import FILE, ClassTable
from sam2_core.annotate.outputs import (
    cannot_write,
    coco_document,
    label_image,
    write_text,
    yolo_text,
)
from sam2_core.annotate.records import ImageRecord
from sam2_core.errors import ImageError, would_overwrite
from sam2_core.label_files import save_labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

COCO_FILE = "annotations.json"
MASKS = "masks"
_STATE = ".annotate"
_RESULTS = "folder for the results", "them"  # what is told to choose or overwrite


class ResultFolder:
    """Results of a data set; use it in a ``with`` statement, which locks it.

    A hidden subfolder keeps one record per finished image. All outputs are made from
    the records, so that further formats need no second run of the model. Every file
    appears complete or not at all.

    Parameters
    ----------
    folder : Path
        Created if needed.
    formats : sequence of str
        "yolo", "coco", "labels".
    settings : mapping of str to str
        What the results depend on; a folder never mixes results of different ones.
    overwrite : bool
        Whether earlier results may be replaced.

    Raises
    ------
    ImageError
        On entering: the folder cannot be written, is in use, or holds other results.
    """

    def __init__(
        self,
        folder: Path,
        formats: Sequence[str],
        settings: Mapping[str, str],
        overwrite: bool = False,
    ) -> None:
        self.folder = folder
        self._formats = tuple(formats)
        self._settings = dict(settings)
        self._overwrite = overwrite
        self._state = folder / _STATE
        self._settings_file = self._state / "settings.json"
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._is_new = not self.folder.exists()
            if not self._is_new and not self.folder.is_dir():
                raise ImageError(f"{self.folder} is a file: the results need a folder.")
            self._state.mkdir(parents=True, exist_ok=True)
            if "labels" in self._formats:
                (self.folder / MASKS).mkdir(exist_ok=True)
            self._exit.enter_context(FileLock(self._state / "lock", timeout=0))
        except Timeout:
            raise ImageError(
                f"Another run is writing to {self.folder}: wait for it or choose "
                "another folder."
            ) from None
        except OSError as error:
            self._remove_empty()
            raise cannot_write(self.folder, error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._settings_file.exists():  # nothing was begun: leave no trace
            self._tidy()
        self._exit.close()

    def check(self, paths: Sequence[Path]) -> bool:
        """Check that nothing of others would be replaced; nothing is written.

        Parameters
        ----------
        paths : sequence of Path
            The images that will be asked for.

        Returns
        -------
        bool
            Whether any of them has still to be done.

        Raises
        ------
        ImageError
            The folder holds results of other settings, or files made by others.
        """
        if self._overwrite:
            return True
        found = self._read_settings()
        is_other = found is not None and found != self._settings
        if found is None or (is_other and not self._has_results()):
            old = [f for path in paths for f in self._targets(path).values()]
            coco = self.folder / COCO_FILE
            old += [coco] if "coco" in self._formats else []
            existing = next((file for file in old if file.exists()), None)
            if existing is not None:
                problem = f"{existing} was there before"
                raise ImageError(would_overwrite(problem, *_RESULTS))
        elif is_other:
            changed = [k for k in self._settings if found.get(k) != self._settings[k]]
            key = changed[0] if changed else "settings"
            known = found.get(key, "unknown")
            problem = f"{self.folder} holds results of another {key} ({known})"
            raise ImageError(would_overwrite(problem, *_RESULTS))
        return any(self.record(path) is None for path in paths)

    def start(self, paths: Sequence[Path]) -> None:
        """Begin to write: forget what is to be done again, keep the settings."""
        if self._overwrite:
            for path in paths:
                self._record_file(path).unlink(missing_ok=True)
        if self._read_settings() != self._settings:
            write_text(self._settings_file, json.dumps(self._settings, indent=1))

    def open_classes(self, known: Sequence[str] = ()) -> None:
        """Read the numbers of classes; `known` are all names of the detector."""
        self.classes = ClassTable(self.folder / FILE, known)

    def record(self, path: Path) -> ImageRecord | None:
        """What was found in an image; None if it is not finished or has changed."""
        try:
            text = self._record_file(path).read_text(encoding="utf-8")
            record = ImageRecord.from_json(text)
            size = path.stat().st_size
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return record if record.file_bytes == size else None

    def save(self, path: Path, record: ImageRecord) -> None:
        """Keep a record and write the outputs of the image.

        Raises
        ------
        ImageError
            The folder cannot be written.
        """
        targets = self._targets(path)
        try:
            for old in targets.values():  # without them the outputs are made again
                old.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        write_text(self._record_file(path), record.to_json())
        self.complete(path, record)

    def complete(self, path: Path, record: ImageRecord) -> None:
        """Write those outputs of a finished image that are not there."""
        self.classes.add(found.name for found in record.objects)
        self.classes.save()
        targets = self._targets(path)
        if "yolo" in targets and not targets["yolo"].exists():
            write_text(targets["yolo"], yolo_text(record, self.classes.index))
        if "labels" in targets and not targets["labels"].exists():
            save_labels(targets["labels"], label_image(record), overwrite=True)

    def write_coco(self, paths: Sequence[Path]) -> None:
        """Write all finished ones of these images into one COCO file, if asked for."""
        if "coco" not in self._formats or not self._has_results():
            return
        records = (self.record(path) for path in paths)
        document = coco_document((r for r in records if r), self.classes.names)
        write_text(self.folder / COCO_FILE, json.dumps(document, separators=(",", ":")))

    def _targets(self, path: Path) -> dict[str, Path]:
        every = {
            "yolo": self.folder / f"{path.stem}.txt",
            "labels": self.folder / MASKS / f"{path.stem}.tif",
        }
        return {key: every[key] for key in every if key in self._formats}

    def _record_file(self, path: Path) -> Path:
        return self._state / f"{path.name}.json"

    def _has_results(self) -> bool:
        """Whether any image is finished; a run may have failed on all of them."""
        files = self._state.glob("*.json")
        return any(file != self._settings_file for file in files)

    def _tidy(self) -> None:
        """Remove what :meth:`__enter__` made, as far as nothing else is in there."""
        with suppress(OSError):
            (self._state / "lock").unlink(missing_ok=True)
        self._remove_empty()

    def _remove_empty(self) -> None:
        """Remove those folders of ours that are empty; a lock held keeps its own."""
        with suppress(OSError):
            self._state.rmdir()
            if self._is_new:
                if "labels" in self._formats:
                    with suppress(FileNotFoundError):
                        (self.folder / MASKS).rmdir()
                self.folder.rmdir()

    def _read_settings(self) -> dict[str, str] | None:
        try:
            found = json.loads(self._settings_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None
