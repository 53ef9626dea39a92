"""Sessions that were saved by themselves: where they are, and whose they are."""

from __future__ import annotations

import re
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam2.sessions._session_file import (
    SUFFIX,
    SessionFile,
    find_moved,
    readable,
    write_text,
)
from sam2_core.errors import Sam2Error
from sam2_core.registry import user_dir

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from filelock import BaseFileLock

# Of other images' work; the oldest is deleted, and none of the image in hand.
DAYS = 90
MOST_BYTES = 10**9


@dataclass(frozen=True)
class Offer:
    """Work on an image that was never saved by hand."""

    path: Path
    session: SessionFile


def autosave_folder() -> Path:
    """Where autosaves go unless the user has chosen a folder for them."""
    return user_dir() / "sessions"


class Autosave:
    """The autosave of one open session; locked as long as it is alive.

    Parameters
    ----------
    folder : Path
        Made when needed.
    name : str
        Name of the image.
    checksum : str
        Of the image; autosaves are found again by it.
    """

    def __init__(self, folder: Path, name: str, checksum: str) -> None:
        safe = re.sub(r"[^\w-]+", "_", name)[:40]
        unique = secrets.token_hex(3)
        self.path = folder / f"{safe}-{_short(checksum)}-{unique}{SUFFIX}"
        self._lock: BaseFileLock | None = None
        self._next: dict[str, Any] | None = None
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None
        self._failure = ""
        self._told = ""

    def write(self, content: dict[str, Any]) -> None:
        """Write a session in the background; a newer content replaces a waiting one."""
        with self._mutex:
            self._next = content
            if self._thread is not None and self._thread.is_alive():
                return
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()

    def flush(self) -> None:
        """Wait until all is written."""
        thread = self._thread
        if thread is not None:
            thread.join(10)

    def unsaid(self) -> str:
        """Why the last writing failed, in a sentence, once; empty where it did not."""
        failure, said = self._failure, self._told
        self._told = failure
        if not failure or failure == said:
            return ""
        return (
            f"The last work could not be saved by itself ({failure}): save the session "
            "on another disk, or choose another folder in the preferences."
        )

    def discard(self) -> None:
        """Delete the file: it was saved by hand, or is not wanted."""
        self.flush()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let others find the file."""
        self.flush()
        if self._lock is not None:
            self._lock.release()
            _lock_path(self.path).unlink(missing_ok=True)
            self._lock = None

    def _work(self) -> None:
        while True:
            with self._mutex:
                content, self._next = self._next, None
                if content is None:
                    self._thread = None
                    return
            try:
                if self._lock is None:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                    self._lock = _take(self.path)
                write_text(self.path, readable(content))
                self._failure = ""
            except (OSError, Sam2Error) as error:
                # A full disk must not disturb the work.
                cause = error.__cause__ or error
                self._failure = getattr(cause, "strerror", None) or str(cause)


def find_offer(folder: Path, checksum: str, image: str = "") -> Offer | None:
    """The newest autosave of an image that no open window owns; None if there is none.

    Labels on disk that moved together with the ``image``, its path, are found. On the
    way, old work on other images is deleted.
    """
    if not folder.is_dir() or not checksum:
        return None
    files = sorted(_free(folder), key=lambda file: file[1].st_mtime, reverse=True)
    oldest, size, offer = time.time() - DAYS * 24 * 3600, 0, None
    for path, stat in files:
        if f"-{_short(checksum)}-" not in path.name:
            size += stat.st_size
            if stat.st_mtime < oldest or size > MOST_BYTES:
                path.unlink(missing_ok=True)
        elif offer is None:
            try:
                session = SessionFile.from_text(path.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError, Sam2Error):
                continue
            if session.image.checksum == checksum and session.worked:
                session = find_moved(session, Path(image)) if image else session
                offer = Offer(path, session)
    return offer


def _free(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Autosaves that no open window owns; another may delete some meanwhile."""
    for path in folder.glob(f"*{SUFFIX}"):
        if _is_free(path):
            with suppress(FileNotFoundError):
                yield path, path.stat()


def _short(checksum: str) -> str:
    return checksum[-12:]


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _take(path: Path) -> BaseFileLock | None:
    """Lock a file; None if somebody else has it."""
    from filelock import FileLock, Timeout

    lock = FileLock(_lock_path(path), timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        return None
    return lock


def _is_free(path: Path) -> bool:
    """Whether no open window writes to a file; the system frees locks after a crash."""
    if not _lock_path(path).exists():
        return True
    lock = _take(path)
    if lock is None:
        return False
    lock.release()
    return True
