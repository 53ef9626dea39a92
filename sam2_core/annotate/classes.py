"""Numbers of classes, the same in every file of a folder of results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sam2_core.annotate.outputs import write_text
from sam2_core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

FILE = "classes.yaml"
CLASS_NAMES = "classes"  # the file NAME.txt that lies among those of images


class ClassTable:
    """Class names and their numbers, kept in a file.

    The file is the ``names:`` part of a data set for YOLO. Numbers never change: those
    of the file come first, then those the detector knows, then new names.

    Parameters
    ----------
    path : Path
        ``classes.yaml``; read if it exists.
    known : sequence of str
        All names that the detector can give.
    """

    def __init__(self, path: Path, known: Sequence[str] = ()) -> None:
        self._path = path
        self.names: list[str] = list(_read_yaml(path)) if path.exists() else []
        self._saved = list(self.names)
        self.add(known)

    def add(self, names: Iterable[str]) -> None:
        """Number the names that are new."""
        self.names += [n for n in dict.fromkeys(names) if n not in self.names]

    def index(self, name: str) -> int:
        """Number of a class, from 0."""
        return self.names.index(name)

    def save(self) -> None:
        """Write the file if anything is new."""
        if self.names == self._saved:
            return
        # Strings of JSON are strings of YAML, whatever is in them.
        lines = [f"  {i}: {json.dumps(name)}\n" for i, name in enumerate(self.names)]
        write_text(self._path, "names:\n" + "".join(lines))
        self._saved = list(self.names)


def class_names_beside(folder: Path) -> tuple[str, ...]:
    """Names of the classes of YOLO files, from the files that lie beside them.

    Parameters
    ----------
    folder : Path
        Searched for ``classes.txt``, ``obj.names`` (one name per line),
        ``classes.yaml`` and ``data.yaml`` (their ``names:``), also one level higher.

    Returns
    -------
    tuple of str
        In the order of their numbers; empty if there is no such file.
    """
    for place in (folder, folder.parent):
        for file in (f"{CLASS_NAMES}.txt", "obj.names"):
            if (place / file).is_file():
                lines = (place / file).read_text(encoding="utf-8-sig").splitlines()
                return tuple(line.strip() for line in lines if line.strip())
        for file in (FILE, "data.yaml"):
            if (place / file).is_file():
                return _read_yaml(place / file)
    return ()


def _read_yaml(path: Path) -> tuple[str, ...]:
    import yaml

    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        names = content["names"]
        if isinstance(names, dict):
            names = [names.get(index, str(index)) for index in range(max(names) + 1)]
        return tuple(str(name) for name in names)
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise ImageError(f"{path} must hold the classes as a list names.") from error
