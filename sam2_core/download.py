"""Fetching the official checkpoints: only when asked, and verified or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sam2_core.errors import Cancelled, CheckpointError
from sam2_core.registry import (
    Checkpoint,
    find_checkpoint,
    is_available,
    model_path,
)
from sam2_core.verification import file_sha256, remember_verified, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Progress = Callable[[int, int], None]
    Cancel = Callable[[], bool]

__all__ = ["download", "verify"]

_CHUNK = 1 << 20
_ATTEMPTS = 4  # connections per call, as long as each brings the file further
_TIMEOUT = 30  # seconds without a byte


def download(
    name: str,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    *,
    url: str | None = None,
) -> Path:
    """Fetch the checkpoint of a model into :func:`sam2_core.weights.cache_dir`.

    A transfer that broke off or was cancelled continues where it ended. The file
    appears under its name only after its SHA-256 was found right, so a second process
    that asks at the same time waits and then finds it.

    Parameters
    ----------
    name : str
        One of :func:`sam2_core.list_models`; the bundled model needs no download.
    progress : callable, optional
        Called as ``progress(bytes_done, bytes_total)``; never goes backwards.
    cancel : callable, optional
        Asked between chunks of 1 MiB; stops the transfer when it returns True.
    url : str, optional
        Another place to fetch the same file from, such as a mirror.

    Returns
    -------
    pathlib.Path
        The verified file.

    Raises
    ------
    CheckpointError
        If there is no such model, no connection, no space, no right to write, or what
        came is not the official file; the message says what to do.
    Cancelled
        If ``cancel`` returned True.
    """
    checkpoint, path = find_checkpoint(name), model_path(name)
    meter = _Meter(checkpoint.bytes, progress, cancel)
    if checkpoint.is_bundled or _is_intact(checkpoint, path):
        verify(name)
        meter.show(path.stat().st_size, of=path.stat().st_size)
        return path
    transfer = _Transfer(checkpoint, url or checkpoint.url, path, meter)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _exclusive(path, transfer.part, meter):
            if not _is_intact(checkpoint, path):  # another process may have been faster
                transfer.run()
    except OSError as error:
        raise CheckpointError(_explain_disk(error, checkpoint, path)) from error
    meter.show(checkpoint.bytes)
    return path


class _Meter:
    """Passes progress on, without ever going backwards, and asks for cancellation."""

    def __init__(
        self, total: int, progress: Progress | None, cancel: Cancel | None
    ) -> None:
        self.total = total
        self._progress = progress
        self._cancel = cancel
        self._shown = -1

    def show(self, done: int, of: int | None = None) -> None:
        if self._progress is not None and done > self._shown:
            self._shown = done
            self._progress(done, of or self.total)

    def check(self) -> None:
        if self._cancel is not None and self._cancel():
            raise Cancelled(
                "The download was cancelled; the next one will continue it."
            )


class _Broken(Exception):
    """The connection ended early; what came so far is kept."""


class _Transfer:
    """One file on its way: bytes are added to a ``.part`` file beside the target."""

    def __init__(
        self, checkpoint: Checkpoint, url: str, path: Path, meter: _Meter
    ) -> None:
        self.checkpoint = checkpoint
        self.url = url
        self.path = path
        self.meter = meter
        # With the hash in its name: bytes of another version are never continued.
        self.part = path.with_name(f"{path.name}.{checkpoint.sha256[:8]}.part")

    def run(self) -> None:
        try:
            resumed = self._fetch()
            if resumed and file_sha256(self.part) != self.checkpoint.sha256:
                self.part.unlink()  # perhaps the kept beginning was bad
                self._fetch()
            self._check_content()
            self.part.replace(self.path)
        finally:
            if self.part.exists() and not self._size():
                self.part.unlink()
        remember_verified(self.checkpoint, self.path)

    def _fetch(self) -> bool:
        """Complete the ``.part`` file; True if it had a beginning already."""
        start = before = self._size()
        for attempt in range(_ATTEMPTS):
            try:
                self._connect()
            except _Broken as error:
                got = self._size()
                if got == before or attempt == _ATTEMPTS - 1:
                    message = self._explain_broken(got != start)
                    raise CheckpointError(message) from error
                before = got
            if self._size() == self.checkpoint.bytes:
                break
        return start > 0

    def _connect(self) -> None:
        """Ask for the bytes still missing, once."""
        import pooch
        import requests

        self.meter.check()
        size = self._size()
        if size > self.checkpoint.bytes:
            self.part.unlink()
            size = 0
        missing = self.checkpoint.bytes - size
        if not missing:
            return
        if shutil.disk_usage(self.part.parent).free < missing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        headers = {"Accept-Encoding": "identity"}
        if size:
            headers["Range"] = f"bytes={size}-"
        with self.part.open("ab") as file:
            sink = _Sink(file, size, self.checkpoint.bytes, self.meter)
            get = pooch.HTTPDownloader(
                chunk_size=_CHUNK,
                timeout=_TIMEOUT,
                headers=headers,
                hooks={"response": sink.on_response},
            )
            try:
                get(self.url, sink, None)
            except requests.HTTPError as error:
                if size and sink.status == 416:
                    raise _Broken("the kept beginning was useless") from error
                raise CheckpointError(self._explain_status(sink.status)) from error
            except (
                requests.ConnectionError,
                requests.Timeout,
                requests.exceptions.ChunkedEncodingError,
            ) as error:
                raise _Broken(str(error)) from error
            except (requests.RequestException, ValueError) as error:
                raise CheckpointError(
                    f"{self.url} cannot be fetched ({error}); {self._by_hand()}"
                ) from error
            os.fsync(file.fileno())
        if self._size() < self.checkpoint.bytes:
            raise _Broken("the server closed the connection")

    def _check_content(self) -> None:
        if file_sha256(self.part) == self.checkpoint.sha256:
            return
        self.part.unlink()
        raise CheckpointError(
            f"What {self.url} sent is not the official {self.checkpoint.file}, its "
            f"SHA-256 differs, and it was deleted; try again, or {self._by_hand()}"
        )

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _by_hand(self) -> str:
        return (
            f"fetch {self.checkpoint.url} on another computer and put the file into "
            f"{self.path.parent}."
        )

    def _explain_broken(self, was_connected: bool) -> str:
        host, size = urlsplit(self.url).netloc, self._size()
        if not was_connected:
            return (
                f"There is no connection to {host}: check network and proxy, or "
                f"{self._by_hand()}"
            )
        return (
            f"The connection to {host} broke off after {size:,} of "
            f"{self.checkpoint.bytes:,} bytes: run the download again to continue, or "
            f"{self._by_hand()}"
        )

    def _explain_status(self, status: int) -> str:
        return (
            f"The server answered with HTTP status {status} for {self.url}: try again "
            f"later, or {self._by_hand()}"
        )


class _Sink:
    """What pooch writes into: appends to the part file, counts, and can be stopped."""

    def __init__(self, file: Any, done: int, total: int, meter: _Meter) -> None:
        self._file = file
        self._done = done
        self._total = total
        self._meter = meter
        self.status = 0

    def on_response(self, response: Any, *_: Any, **__: Any) -> None:
        """Look at the answer before its body: it may not continue the part file."""
        if response.is_redirect:
            return
        self.status = response.status_code
        resumes = response.headers.get("Content-Range", "").startswith(
            f"bytes {self._done}-"
        )
        # Either the whole file comes once more, or we asked for more than there is.
        useless = response.ok and not (response.status_code == 206 and resumes)
        if self._done and (useless or response.status_code == 416):
            self._restart()
        length = int(response.headers.get("Content-Length", -1))
        if response.ok and length >= 0 and self._done + length != self._total:
            kind = response.headers.get("Content-Type", "unknown content")
            raise CheckpointError(
                f"{response.url} offers {self._done + length:,} bytes of {kind} "
                f"instead of the official file's {self._total:,}: a proxy or login "
                "page may answer in its place, so open the address in a browser."
            )

    def write(self, chunk: bytes) -> None:
        self._meter.check()
        if self._done + len(chunk) > self._total:
            self._restart()
            raise CheckpointError(
                f"The server sends more than the {self._total:,} bytes of the official "
                "file, so the transfer was stopped; try again later."
            )
        self._file.write(chunk)
        self._done += len(chunk)
        self._meter.show(self._done)

    def flush(self) -> None:
        self._file.flush()

    def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._done = 0


@contextlib.contextmanager
def _exclusive(path: Path, part: Path, meter: _Meter) -> Iterator[None]:
    """Hold the lock of a file; show the other process's progress while waiting."""
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(f".{path.name}.lock"))
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            meter.check()
            with contextlib.suppress(OSError):
                meter.show(part.stat().st_size)
            time.sleep(0.2)
    try:
        yield
    finally:
        lock.release()


def _is_intact(checkpoint: Checkpoint, path: Path) -> bool:
    return is_available(checkpoint.name) and file_sha256(path) == checkpoint.sha256


def _explain_disk(error: OSError, checkpoint: Checkpoint, path: Path) -> str:
    folder = path.parent
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return (
            f"The disk is full, {checkpoint.file} needs {checkpoint.bytes:,} bytes in "
            f"{folder}: free some space or set NAPARI_SAM2_HOME to another folder."
        )
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return (
            f"{folder} cannot be written to: set NAPARI_SAM2_HOME to a folder where "
            "you may write."
        )
    return (
        f"{path} cannot be written ({error}): set NAPARI_SAM2_HOME to another folder."
    )
