"""Signals that end a command leave nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from napari_sam2.commands.signals import as_interrupts, end_at_once

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows ends processes without a signal"
)

# The model is loaded when the output has been begun.
ENDED_WHILE_IT_LOADS = """
import os, sys, time
from types import SimpleNamespace
from pathlib import Path

def load_model(*_, **__):
    assert [path.suffix for path in Path(out).parent.iterdir()] == [".part"]
    # As while a dataclass is made. Who ends a command seldom waits for its imports.
    exec("os.kill(os.getpid(), int(number)); time.sleep(20)")

number, image, out = sys.argv[1:]
sys.modules["sam2_core.models"] = SimpleNamespace(load_model=load_model)
sys.modules["sam2_core.image"] = SimpleNamespace(ImagePredictor=None)
from napari_sam2.cli import main
sys.exit(main(["segment", image, "--point", "5,5", "--out", out]))
"""


@pytest.fixture
def kept() -> Iterator[None]:
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_command_that_is_ended_leaves_nothing_behind(
    name: str, image: Path, out: Path
) -> None:
    number = getattr(signal, name)
    (image.parent / "ended.py").write_text(ENDED_WHILE_IT_LOADS)
    known = os.pathsep.join((str(image.parent), os.environ.get("PYTHONPATH", "")))
    done = subprocess.run(
        [sys.executable, "-m", "ended", str(int(number)), image, out],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": known},
        # Under nohup, as tests may run, SIGHUP is ignored, and that is inherited.
        preexec_fn=partial(signal.signal, number, signal.SIG_DFL),
    )
    assert done.returncode == 128 + number, done.stderr
    assert done.stderr.strip() == "napari-sam2: stopped"
    assert list(out.parent.iterdir()) == []


def test_both_at_once_interrupt_once(kept: None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with as_interrupts() as came:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
    assert came == [signal.SIGHUP, signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


def test_what_nohup_ignores_stays_ignored(kept: None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with as_interrupts() as came:
        signal.raise_signal(signal.SIGHUP)
        end_at_once()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert came == []


def test_windows_end_at_once(kept: None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with as_interrupts():
        end_at_once()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_other_threads_take_no_signals() -> None:
    came: list[object] = []

    def work() -> None:
        with as_interrupts() as signals:
            came.append(signals)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert came == [[]]
