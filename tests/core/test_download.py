from __future__ import annotations

import errno
import os
import re
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from payload import FOREIGN, NAME, PAYLOAD, cache_of

from sam2_core import download as module
from sam2_core import registry, verification
from sam2_core.config import NANO
from sam2_core.download import download, verify
from sam2_core.errors import Cancelled, CheckpointError

MIB = 1 << 20


class Handler(BaseHTTPRequestHandler):
    """Serves the payload; the server's attributes say how it misbehaves."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        asked = self.headers.get("Range")
        server.requests.append(asked)
        if server.status != 200:
            self.send_error(server.status)
            return
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/file")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body, start = server.body, 0
        if asked and server.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/9")
        else:
            self.send_response(200)
        if server.tell_length:
            self.send_header("Content-Length", str(len(body) - start))
        self.send_header("Content-Type", server.content_type)
        self.send_header("Connection", "close")
        self.end_headers()
        budget = server.cuts.pop(0) if server.cuts else len(body)
        for at in range(start, min(len(body), start + budget), 256 * 1024):
            server.gate.wait(10)
            self.wfile.write(body[at : min(at + 256 * 1024, start + budget)])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients hang up on purpose here."""


@pytest.fixture
def server():
    """A file server on this computer, harmless until told otherwise."""
    server = Server(("127.0.0.1", 0), Handler)
    server.requests = []  # the Range header of each
    server.body = PAYLOAD
    server.status = 200
    server.ranges = True
    server.tell_length = True
    server.content_type = "application/octet-stream"
    server.cuts = []  # after how many bytes each of the next answers ends
    server.gate = threading.Event()
    server.gate.set()
    server.url = f"http://127.0.0.1:{server.server_port}/file"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.gate.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache, and a registry whose tiny model is the payload."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return cache_of(tmp_path, monkeypatch)


def visible(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


def part_of(folder: Path) -> Path:
    return folder / f"{NAME}.pt.{registry.CHECKPOINTS[NAME].sha256[:8]}.part"


def test_file_arrives_whole_and_progress_grows(server, folder):
    seen = []
    path = download(NAME, lambda *x: seen.append(x), url=server.url)
    assert path == folder / f"{NAME}.pt"
    assert path.read_bytes() == PAYLOAD
    assert visible(folder) == [path.name]
    done = [d for d, _ in seen]
    assert done == sorted(set(done))
    assert len(done) >= 4
    assert done[-1] == len(PAYLOAD)
    assert {total for _, total in seen} == {len(PAYLOAD)}
    verify(NAME)


def test_url_of_the_registry_is_the_default(server, folder, monkeypatch):
    entry = replace(registry.CHECKPOINTS[NAME], url=server.url)
    monkeypatch.setitem(registry.CHECKPOINTS, NAME, entry)
    assert download(NAME).read_bytes() == PAYLOAD


def test_second_call_needs_no_server(server, folder):
    download(NAME, url=server.url)
    seen = []
    download(NAME, lambda *x: seen.append(x), url="http://127.0.0.1:9/none")
    assert len(server.requests) == 1
    assert seen[-1] == (len(PAYLOAD), len(PAYLOAD))


def test_file_dropped_by_hand_is_taken(folder):
    folder.mkdir()
    (folder / f"{NAME}.pt").write_bytes(PAYLOAD)
    verify(NAME)
    assert download(NAME, url="http://127.0.0.1:9/none") == folder / f"{NAME}.pt"


def test_wrong_file_in_place_is_replaced(server, folder):
    folder.mkdir()
    (folder / f"{NAME}.pt").write_bytes(FOREIGN)
    download(NAME, url=server.url)
    assert (folder / f"{NAME}.pt").read_bytes() == PAYLOAD


def test_redirect_is_followed(server, folder):
    url = server.url.replace("/file", "/moved")
    assert download(NAME, url=url).read_bytes() == PAYLOAD


def test_broken_connection_is_continued_at_once(server, folder):
    server.cuts = [2 * MIB, MIB]
    assert download(NAME, url=server.url).read_bytes() == PAYLOAD
    assert server.requests == [None, f"bytes={2 * MIB}-", f"bytes={3 * MIB}-"]


@pytest.mark.parametrize("tell_length", [True, False])
def test_interrupted_transfer_is_continued_by_the_next_call(
    server, folder, tell_length
):
    server.tell_length = tell_length
    server.cuts = [2 * MIB, 0]
    with pytest.raises(CheckpointError, match="broke off after 2,097,152 of 4,206,649"):
        download(NAME, url=server.url)
    assert visible(folder) == [part_of(folder).name]
    seen = []
    download(NAME, lambda *x: seen.append(x), url=server.url)
    assert (folder / f"{NAME}.pt").read_bytes() == PAYLOAD
    assert server.requests[-1] == f"bytes={2 * MIB}-"
    assert seen[0][0] > 2 * MIB
    assert visible(folder) == [f"{NAME}.pt"]


def test_server_that_cannot_continue_sends_all_again(server, folder):
    folder.mkdir()
    part_of(folder).write_bytes(PAYLOAD[:MIB])
    server.ranges = False
    assert download(NAME, url=server.url).read_bytes() == PAYLOAD
    assert server.requests == [f"bytes={MIB}-"]


@pytest.mark.parametrize("kept", [b"x" * MIB, b"x" * len(PAYLOAD), PAYLOAD + b"more"])
def test_bad_beginning_is_thrown_away(server, folder, kept):
    folder.mkdir()
    part_of(folder).write_bytes(kept)
    assert download(NAME, url=server.url).read_bytes() == PAYLOAD


def test_server_with_a_shorter_file_answers_416(server, folder):
    folder.mkdir()
    part_of(folder).write_bytes(PAYLOAD[: 3 * MIB])
    server.body = PAYLOAD[:MIB]
    with pytest.raises(CheckpointError, match="1,048,576 bytes of application"):
        download(NAME, url=server.url)
    assert server.requests == [f"bytes={3 * MIB}-", None]
    assert visible(folder) == []


def test_wrong_hash_is_deleted_not_installed(server, folder):
    server.body = FOREIGN
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        download(NAME, url=server.url)
    assert visible(folder) == []


def test_login_page_in_place_of_the_file(server, folder):
    server.body, server.content_type = b"<html>log in</html>", "text/html"
    with pytest.raises(CheckpointError, match="19 bytes of text/html"):
        download(NAME, url=server.url)
    assert visible(folder) == []


def test_endless_file_is_stopped(server, folder):
    server.body, server.tell_length = PAYLOAD + bytes(MIB), False
    with pytest.raises(CheckpointError, match="sends more than the"):
        download(NAME, url=server.url)
    assert visible(folder) == []


@pytest.mark.parametrize("status", [403, 404, 503])
def test_error_of_the_server(server, folder, status):
    server.status = status
    with pytest.raises(CheckpointError, match=f"HTTP status {status}") as caught:
        download(NAME, url=server.url)
    assert f"put the file into {folder}" in str(caught.value)
    assert visible(folder) == []


@pytest.mark.parametrize("kept", [0, MIB])
def test_no_network(folder, kept):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]  # bound, not listening: connections are refused
        folder.mkdir()
        if kept:
            part_of(folder).write_bytes(PAYLOAD[:kept])
        with pytest.raises(CheckpointError, match="There is no connection to 127") as e:
            download(NAME, url=f"http://127.0.0.1:{port}/file")
    assert registry.CHECKPOINTS[NAME].url in str(e.value)
    assert part_of(folder).exists() == bool(kept)


def test_stalled_server_is_given_up(server, folder, monkeypatch):
    monkeypatch.setattr(module, "_TIMEOUT", 0.2)
    server.gate.clear()
    with pytest.raises(CheckpointError, match="There is no connection"):
        download(NAME, url=server.url)


def test_address_that_is_none(folder):
    with pytest.raises(CheckpointError, match="cannot be fetched"):
        download(NAME, url="ht!tp://nowhere")


def test_cancel_in_the_middle_keeps_the_beginning(server, folder):
    done = [0]

    def progress(now: int, _: int) -> None:
        done[0] = now

    with pytest.raises(Cancelled):
        download(NAME, progress, cancel=lambda: done[0] >= 2 * MIB, url=server.url)
    assert part_of(folder).read_bytes() == PAYLOAD[: 2 * MIB]
    assert not (folder / f"{NAME}.pt").exists()
    assert download(NAME, url=server.url).read_bytes() == PAYLOAD
    assert server.requests[-1] == f"bytes={2 * MIB}-"


def test_cancel_before_the_start(server, folder):
    with pytest.raises(Cancelled):
        download(NAME, cancel=lambda: True, url=server.url)
    assert server.requests == []


def test_no_room_is_said_before_anything_is_sent(server, folder, monkeypatch):
    usage = type("Usage", (), {"free": len(PAYLOAD) - 1})
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(CheckpointError, match=r"disk is full.*NAPARI_SAM2_HOME"):
        download(NAME, url=server.url)
    assert server.requests == []


def test_disk_that_fills_up_during_the_transfer(server, folder, monkeypatch):
    write = module._Sink.write

    def filling(self, chunk: bytes) -> None:
        if self._done >= 2 * MIB:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, chunk)

    monkeypatch.setattr(module._Sink, "write", filling)
    with pytest.raises(CheckpointError, match=r"disk is full, .* 4,206,649 bytes"):
        download(NAME, url=server.url)
    assert not (folder / f"{NAME}.pt").exists()
    monkeypatch.undo()


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_read_only_folder(server, folder, monkeypatch, code):
    real_open = Path.open

    def read_only(self, mode="r", *args, **kwargs):
        if set(mode) & set("wax+"):
            raise OSError(code, os.strerror(code), str(self))
        return real_open(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", read_only)
    with pytest.raises(CheckpointError, match=f"{folder} cannot be written to"):
        download(NAME, url=server.url)


def test_folder_that_cannot_be_made(folder, tmp_path):
    folder.write_text("a file where the folder should be")
    with pytest.raises(CheckpointError, match="set NAPARI_SAM2_HOME"):
        download(NAME, url="http://127.0.0.1:9/none")


PROCESS = f"""
import sys, hashlib
from dataclasses import replace
from sam2_core import registry
from sam2_core.download import download
url, size, sha256 = sys.argv[1], int(sys.argv[2]), sys.argv[3]
registry.CHECKPOINTS["{NAME}"] = replace(
    registry.CHECKPOINTS["{NAME}"], bytes=size, sha256=sha256)
path = download("{NAME}", url=url)
sys.stdout.write(hashlib.sha256(path.read_bytes()).hexdigest())
"""


@contextmanager
def another_process(server):
    sha256 = registry.CHECKPOINTS[NAME].sha256
    arguments = [server.url, str(len(PAYLOAD)), sha256]
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, *arguments], stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_two_processes_share_one_transfer(server, folder):
    server.gate.clear()  # nobody can finish before both have started
    with another_process(server) as other:
        results = []
        for _ in range(600):
            if server.requests:
                break
            other_done = other.poll()
            assert other_done is None
            threading.Event().wait(0.05)
        thread = threading.Thread(
            target=lambda: results.append(download(NAME, url=server.url))
        )
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()  # waits for the other process
        server.gate.set()
        thread.join(30)
        output, _ = other.communicate(timeout=30)
    assert output == registry.CHECKPOINTS[NAME].sha256
    assert results[0].read_bytes() == PAYLOAD
    assert server.requests == [None]
    assert visible(folder) == [f"{NAME}.pt"]


def test_killed_process_leaves_no_lock_behind(server, folder):
    server.gate.clear()
    with another_process(server) as other:
        for _ in range(600):
            if server.requests:
                break
            assert other.poll() is None
            threading.Event().wait(0.05)
    server.gate.set()
    assert download(NAME, url=server.url).read_bytes() == PAYLOAD


def test_waiting_for_another_process_can_be_cancelled(server, folder):
    from filelock import FileLock

    folder.mkdir()
    with FileLock(folder / f".{NAME}.pt.lock"), pytest.raises(Cancelled):
        download(NAME, cancel=lambda: True, url=server.url)


def test_bundled_model_is_never_fetched(monkeypatch, tmp_path):
    path = tmp_path / "nano.safetensors"
    path.write_bytes(b"<html>")
    monkeypatch.setattr(module, "model_path", lambda _: path)
    monkeypatch.setattr(verification, "model_path", lambda _: path)
    with pytest.raises(CheckpointError, match="web page"):
        download(NANO.name, url="http://127.0.0.1:9/none")
