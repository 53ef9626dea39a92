"""A session as one readable JSON file."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam2.history._journal import UNREADABLE, Journal
from napari_sam2.history._plain_json import sums_as_json, sums_from_json
from napari_sam2.picture._image_reference import ImageReference
from sam2_core import __version__
from sam2_core.errors import ImageError
from sam2_core.registry import find_checkpoint, is_available, model_path

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from napari.layers import Labels
    from numpy.typing import NDArray

FORMAT, VERSION = "napari-sam2 session", 1
SUFFIX = ".sam2.json"
SETTINGS = (  # of the state
    "device",
    "preset",
    "axis",
    "sees",
    "part",
    "writing",
    "neighbours",
    "direction",
    "start",
    "stop",
    "stop_when_lost",
    "patience",
    "alone",
    "follow_corrections",
)


def named(path: str | Path) -> Path:
    """A path as session files are called; one that ends with .json stays as it is."""
    path = Path(path)
    if path.suffix.lower() != ".json":
        path = path.with_name(path.name + SUFFIX)
    return path


@cache
def model_hash(name: str) -> str:
    """SHA-256 of the weights of a model; of official ones it is known."""
    import hashlib

    known = find_checkpoint(name).sha256
    if known or not is_available(name):
        return known
    with model_path(name).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass
class SessionFile:
    """What a session file holds.

    Attributes
    ----------
    image : ImageReference
        What was segmented.
    model : dict
        "name" and "sha256" of the model in use when it was saved.
    settings : dict
        Choices of the dock.
    objects : list of dict
        Per object "id", "name", "prompts" and "marks": what the layers show.
    checked : list of dict
        Frames that were checked.
    divisions : list of dict
        Answers to "did it divide?".
    labels : dict
        "name", "shape", "dtype", where they live on disk "path", "checksums" of their
        planes, and "left_out": planes from elsewhere that were too large to be kept.
    journal : Journal
        What was computed, in order.
    saved : str
        When.
    """

    image: ImageReference
    model: dict[str, str]
    settings: dict[str, Any]
    labels: dict[str, Any]
    journal: Journal
    objects: list[dict[str, Any]] = field(default_factory=list)
    checked: list[dict[str, Any]] = field(default_factory=list)
    divisions: list[dict[str, Any]] = field(default_factory=list)
    saved: str = ""

    @property
    def worked(self) -> bool:
        """Whether there is anything that would be a loss."""
        return bool(self.objects or self.checked) or self.journal.worked

    @property
    def work(self) -> tuple[Any, ...]:
        """What the user has done, to be compared with that of another moment."""
        steps = [  # what is told of them changes as they go on
            (entry, entry.written, entry.undone) for entry in self.journal.entries
        ]
        place = self.labels.get("path")
        return self.objects, self.checked, self.divisions, steps, place

    @property
    def prompt_count(self) -> int:
        """Number of points, shapes and masks that were given."""
        return sum(
            len(prompt.get("points", ()))
            + len(prompt.get("shapes", ()))
            + ("mask" in prompt and "answers" not in prompt["mask"])
            for thing in self.objects
            for prompt in thing["prompts"]
        )

    @property
    def checksums(self) -> NDArray[np.uint64] | None:
        """Of each plane of the labels, (n,) uint64, first axis slowest."""
        packed = self.labels.get("checksums")
        return None if packed is None else sums_from_json(packed)

    def as_text(self) -> str:
        """The file's content."""
        return readable(self.as_json())

    def as_json(self) -> dict[str, Any]:
        """The file's content as plain values."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "program": __version__,
            "saved": datetime.now().astimezone().isoformat(timespec="seconds"),
            "image": self.image.as_json(),
            "model": self.model,
            "settings": self.settings,
            "labels": self.labels,
            "objects": self.objects,
            "checked": self.checked,
            "divisions": self.divisions,
            **self.journal.as_json(self.image),
        }

    @classmethod
    def from_text(cls, text: str) -> SessionFile:
        """Read a file's content; ImageError if it is none of ours."""
        try:
            content = json.loads(text)
        except ValueError as error:
            raise ImageError(f"{UNREADABLE}: it is no JSON ({error}).") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ImageError(f"{UNREADABLE}: it does not come from napari-sam2.")
        if content.get("version") != VERSION:
            raise ImageError(
                f"{UNREADABLE}: its version is {content.get('version')}, this program "
                f"knows version {VERSION}."
            )
        try:
            return cls(
                ImageReference.from_json(content["image"]),
                dict(content["model"]),
                dict(content["settings"]),
                dict(content["labels"]),
                Journal.from_json(content),
                [dict(thing) for thing in content["objects"]],
                [dict(frame) for frame in content["checked"]],
                [dict(answer) for answer in content["divisions"]],
                str(content["saved"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ImageError(f"{UNREADABLE}: {error!r}.") from error


def labels_as_json(
    labels: Labels, path: str, known: Mapping[tuple[int, ...], int], left_out: int
) -> dict[str, Any]:
    """What a session says of its labels.

    Parameters
    ----------
    labels : napari.layers.Labels
        Where masks are written.
    path : str
        Where they live on disk; "" if they are in memory.
    known : mapping
        Checksum of every plane that is not empty, by its place.
    left_out : int
        Number of planes from elsewhere that the session does not hold.
    """
    shape = tuple(int(n) for n in labels.data.shape)
    content = {
        "name": labels.name,
        "shape": list(shape),
        "dtype": str(labels.data.dtype),
        "checksums": sums_as_json(known.get(at, 0) for at in np.ndindex(*shape[:-2])),
    }
    content |= {"path": path} if path else {}
    return content | ({"left_out": left_out} if left_out else {})


def read_session(path: str | os.PathLike[str]) -> SessionFile:
    """Read a session file.

    Images, and labels on disk, that are not where they were are looked for near it.

    Raises
    ------
    ImageError
        If it is not there or no session.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ImageError(f"{path} cannot be read ({reason}).") from error
    except UnicodeDecodeError as error:
        raise ImageError(f"{path} is no session file: it holds no text.") from error
    return find_moved(SessionFile.from_text(text), Path(path))


def find_moved(session: SessionFile, file: Path) -> SessionFile:
    """The session, with what is not where it was looked for near a file."""
    session.image = _moved(session.image, file)
    sources = session.journal.sources
    sources.references = [_moved(each, file) for each in sources.references]
    if "path" in session.labels:
        session.labels["path"] = _near(session.labels["path"], file)
    return session


def _moved(image: ImageReference, session: Path) -> ImageReference:
    return replace(image, path=_near(image.path, session))


def _near(old: str, session: Path) -> str:
    """Where a file is that may have moved together with a session.

    Folders above both are looked into as far as one step up and one down.
    """
    if not old or Path(old).exists():
        return old
    parts = PureWindowsPath(old).parts  # of another computer's paths, too
    folder = session.absolute().parent
    tails = (parts[-1:], parts[-2:])
    places = [up.joinpath(*tail) for up in (folder, folder.parent) for tail in tails]
    return next((str(place) for place in places if place.exists()), old)


def write_text(path: Path, text: str) -> None:
    """Write a file that is there completely or not at all; ImageError if it cannot."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise ImageError(f"{path} cannot be written ({reason}).") from error


def readable(content: Any) -> str:
    """JSON with one line for whatever is short.

    Lists and objects that hold no others, and fit into 100 characters, stay on a line.
    """
    text = json.dumps(content, indent=1, ensure_ascii=False)
    innermost = re.compile(r"([\[{])\s*\n([^\[\]{}]*?)\n\s*([\]}])")

    def join(match: re.Match[str]) -> str:
        inside = " ".join(part.strip() for part in match.group(2).split("\n"))
        # Newlines inside strings are escaped in JSON, so this touches layout only.
        line = match.group(1) + inside + match.group(3)
        return line if len(line) <= 100 else match.group(0)

    before = ""
    while text != before:
        before, text = text, innermost.sub(join, text)
    return text + "\n"
