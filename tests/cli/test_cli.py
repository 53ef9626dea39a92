from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from cli_helpers import (
    SHAPE,
    Done,
    assert_one_line_error,
    run,
    write_noise,
)

import napari_sam2.__main__ as start
import sam2_core

if TYPE_CHECKING:
    from pathlib import Path

BAD_CALLS = {
    "unknown option": (["--pint", "1,1"], "--pint"),
    "no prompt": ([], "--point"),
    "point outside": (["--point", "40,10"], "outside", "40 x 30"),
    "negative coordinate": (["--point", "-3,10"], "outside"),
    "point not numbers": (["--point", "a,b"], "[ID:]X,Y", "a,b"),
    "one number": (["--point", "5"], "[ID:]X,Y"),
    "nan": (["--point", "nan,5"], "[ID:]X,Y"),
    "object 0": (["--point", "0:5,5"], "ID"),
    "object a": (["--point", "a:5,5"], "ID"),
    "only negative": (["--negative", "5,5"], "positive"),
    "box outside": (["--box", "1,1,50,20"], "outside"),
    "box turned around": (["--box", "9,9,2,2"], "empty"),
    "mixed boxes": (["--box", "2:1,1,5,5", "--box", "1,1,5,5"], "every --box"),
    "two boxes": (["--box", "2:1,1,5,5", "--box", "2:1,1,6,6"], "two boxes"),
    "no such prompt file": (["--prompts", "none.json"], "There is no file"),
    "range of one": (["--point", "5,5", "--value-range", "5"], "LO,HI"),
    "range turned around": (
        ["--point", "5,5", "--value-range", "9,2"],
        "--value-range '9,2'",
        "LO must",
    ),
    "select nonsense": (["--point", "5,5", "--select", "Z"], "AXIS=N"),
    "select twice": (
        ["--point", "5,5", "--select", "Z=0", "--select", "Z=1"],
        "axis Z twice",
    ),
    "empty option": (["--point", "5,5", "--model", ""], "--model is empty"),
    "empty value": (["--point", "5,5", "--device="], "--device is empty"),
    "empty argument": (["--point", "5,5", ""], "Argument 5 is empty"),
    "select text": (["--point", "5,5", "--select", "Z=a"], "AXIS=N"),
    "extra argument": (["--point", "5,5", "more.tif"], "more.tif"),
    "no such model": (["--point", "5,5", "--model", "sam9"], "sam9"),
    "no such device": (["--point", "5,5", "--device", "abacus"], "abacus"),
}


@pytest.mark.parametrize("command", ["segment", "track"])
@pytest.mark.parametrize("case", BAD_CALLS)
def test_bad_calls_are_one_line(
    case: str,
    command: str,
    image: Path,
    out: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    options, *words = BAD_CALLS[case]
    done = run(capfd, command, image, *options, "--out", out)
    assert_one_line_error(done, *words)
    assert list(out.parent.iterdir()) == []


class TestBadFiles:
    def segment(self, capfd, image: Path, out: Path) -> Done:
        return run(capfd, "segment", image, "--point", "5,5", "--out", out)

    def test_missing_image(self, tmp_path, out, capfd) -> None:
        done = self.segment(capfd, tmp_path / "none.tif", out)
        assert_one_line_error(done, "none.tif")

    def test_unreadable_tiff(self, tmp_path, out, capfd) -> None:
        for content in (b"", b"II*\x00rubbish", b"hello", b"\x89PNG\r\n\x1a\n"):
            (tmp_path / "bad.tif").write_bytes(content)
            done = self.segment(capfd, tmp_path / "bad.tif", out)
            assert_one_line_error(done, "bad.tif")
            assert list(out.parent.iterdir()) == []

    def test_tiff_cut_short(self, engine, stack, out, tmp_path, capfd) -> None:
        (tmp_path / "cut.tif").write_bytes(stack.read_bytes()[:7000])
        done = run(capfd, "track", tmp_path / "cut.tif", "--point", "5,5", "--out", out)
        assert done.code == 2
        assert "error: " in done.err
        assert "Traceback" not in done.err
        assert list(out.parent.iterdir()) == []

    def test_stack_is_not_an_image(self, stack, out, capfd) -> None:
        assert_one_line_error(self.segment(capfd, stack, out), "6 frames", "track")

    def test_output_folder_is_missing(self, image, out, capfd) -> None:
        done = self.segment(capfd, image, out.parent / "none" / "labels.tif")
        assert_one_line_error(done, "There is no folder")

    def test_output_is_no_tiff(self, image, out, capfd) -> None:
        done = self.segment(capfd, image, out.with_suffix(".png"))
        assert_one_line_error(done, ".tif")

    def test_image_is_never_overwritten_by_accident(self, image, capfd) -> None:
        before = image.read_bytes()
        assert_one_line_error(self.segment(capfd, image, image), "exists already")
        assert image.read_bytes() == before

    def test_image_is_not_its_own_output(self, engine, image, capfd) -> None:
        before = image.read_bytes()
        done = run(
            *(capfd, "segment", image, "--point", "5,5"),
            *("--out", image, "--overwrite"),
        )
        assert_one_line_error(done, "image itself")
        assert image.read_bytes() == before


@pytest.mark.parametrize("command", ["segment", "track", "everything"])
@pytest.mark.parametrize("value", [7.0, np.nan])
def test_an_image_without_anything_in_it(
    engine, out, tmp_path, capfd, command: str, value: float
) -> None:
    path = tmp_path / "blank.tif"
    tifffile.imwrite(path, np.full((30, 40), value, np.float32))
    prompt = () if command == "everything" else ("--point", "5,5")
    done = run(capfd, command, path, *prompt, "--out", out)
    assert_one_line_error(done, "blank.tif", "constant or has no finite values")
    assert engine.calls == []
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("words", [["annotate", ""], ["segment", " ", "--out", "a"]])
def test_an_empty_name_is_not_the_current_folder(capfd, words: list[str]) -> None:
    assert_one_line_error(run(capfd, *words), "Argument 2 is empty")


LONG = "x" * 300  # more than any file system takes
NOBODY = "~nobody-of-this-name"


@pytest.mark.parametrize(
    "arguments",
    [
        ("segment", f"{LONG}.tif", "--point", "5,5", "--out", "OUT"),
        ("segment", "~nobody-of-this-name/a.tif", "--point", "5,5", "--out", "OUT"),
        ("segment", "IMAGE", "--point", "5,5", "--out", f"{LONG}.tif"),
        ("segment", "IMAGE", "--point", "5,5", "--out", f"{LONG}/labels.tif"),
        ("segment", "IMAGE", "--point=5,5", "--out", "OUT", "--model", f"./{LONG}.pt"),
        ("track", "IMAGE", "--prompts", f"{LONG}.json", "--out", "OUT"),
        ("annotate", LONG),
        ("annotate", "IMAGE", "--out", LONG),
        ("annotate", "IMAGE", "--detector", LONG),
        ("finetune", "--images", LONG, "--labels", LONG, "--out", "OUT.safetensors"),
        ("finetune", "--images", NOBODY, "--labels", "b", "--out", "c.safetensors"),
    ],
)
def test_names_that_no_file_can_have(arguments, image, out, capfd) -> None:
    places = {"IMAGE": image, "OUT": out}
    done = run(capfd, *(places.get(word, word) for word in arguments))
    named = next(word for word in arguments if LONG in word or "nobody" in word)
    assert_one_line_error(done, named.removeprefix("./"))
    assert list(out.parent.iterdir()) == []
    assert {path.name for path in image.parent.iterdir()} <= {"image.tif", "out"}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(5, "Input/output error", "/mnt/a.tif"), "/mnt/a.tif cannot be used"),
        (OSError(5, "Input/output error"), "error: Input/output error."),
        (OSError("odd"), "error: odd."),
    ],
)
def test_errors_of_the_system_are_one_line(
    error, words, engine, image, out, monkeypatch, capfd
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(engine, "load_model", broken)
    engine.install(monkeypatch)
    done = run(capfd, "segment", image, "--point", "5,5", "--out", out)
    assert_one_line_error(done, words)
    assert list(out.parent.iterdir()) == []


class TestAxes:
    def test_several_axes(self, out, tmp_path, capfd) -> None:
        stack = np.zeros((2, 3, 2, *SHAPE), np.uint8)
        path = tmp_path / "hyper.ome.tif"
        tifffile.imwrite(path, stack, ome=True, metadata={"axes": "TZCYX"})
        done = run(capfd, "track", path, "--point", "5,5", "--out", out)
        assert_one_line_error(done, "for example --select Z=0 --select C=0.")
        assert "{" not in done.err

    @pytest.mark.parametrize("command", ["segment", "track", "everything"])
    def test_channels(self, command, out, tmp_path, capfd) -> None:
        path = tmp_path / "channels.tif"
        tifffile.imwrite(
            path, np.zeros((2, *SHAPE), np.uint8), metadata={"axes": "CYX"}
        )
        prompt = () if command == "everything" else ("--point", "5,5")
        done = run(capfd, command, path, *prompt, "--out", out)
        assert_one_line_error(done, "C are channels", "for example --select C=0.")
        assert list(out.parent.iterdir()) == []

    def test_a_folder_of_images_has_no_option_for_it(self, tmp_path, capfd) -> None:
        folder = tmp_path / "images"
        folder.mkdir()
        write_noise(folder / "stack.tif", (3, *SHAPE))
        tifffile.imwrite(
            folder / "two.tif",
            np.zeros((2, *SHAPE), np.uint8),
            metadata={"axes": "CYX"},
        )
        done = run(capfd, "annotate", folder, "--detector", "blobs", "--quiet")
        assert done.code == 1
        assert done.out.count("save one plane as a file of its own") == 2
        assert "select" not in done.out + done.err


def test_unexpected_errors_are_not_hidden(engine, image, out, monkeypatch, capfd):
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(engine, "load_model", broken)
    engine.install(monkeypatch)
    with pytest.raises(ZeroDivisionError):
        run(capfd, "segment", image, "--point", "5,5", "--out", out)
    assert list(out.parent.iterdir()) == []


def test_help_and_version(capfd) -> None:
    assert run(capfd).out == run(capfd, "--help").out
    for command in ("segment", "track", "demo", "info", "models"):
        assert command in run(capfd, "--help").out
        done = run(capfd, command, "--help")
        assert (done.code, done.err) == (0, "")
        assert "╭" not in done.out
    done = run(capfd, "--version")
    assert (done.code, done.out) == (0, f"napari-sam2 {sam2_core.__version__}\n")


def subprocess_run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False
    )


def test_as_a_process_bad_usage_is_one_line_and_code_2(tmp_path: Path) -> None:
    out = tmp_path / "labels.tif"
    for arguments in (
        ("segment", "none.tif", "--point", "5,5", "--out", str(out)),
        ("segment", "--nonsense"),
        ("fly",),
    ):
        done = subprocess_run("-m", "napari_sam2", *arguments)
        assert_one_line_error(Done(done.returncode, done.stdout, done.stderr))
    assert list(tmp_path.iterdir()) == []


def test_interrupted_while_it_starts(monkeypatch, capfd) -> None:
    class Interrupt:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "napari_sam2.cli":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "napari_sam2.cli")
    monkeypatch.setattr(sys, "meta_path", [Interrupt(), *sys.meta_path])
    assert start.run() == 130
    assert capfd.readouterr().err == "napari-sam2: stopped\n"


def test_help_loads_neither_torch_nor_napari() -> None:
    code = (
        "import sys; from napari_sam2.cli import main; main(['track', '--help'])\n"
        "print({'torch', 'napari', 'qtpy', 'skimage'} & set(sys.modules))"
    )
    done = subprocess_run("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "set()"
