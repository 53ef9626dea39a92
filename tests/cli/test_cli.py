from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from cli_helpers import Done, FakeEngine, assert_one_line_error, fake_mask, run

import napari_sam2.__main__ as start
import sam2_core

SHAPE = (30, 40)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    fake.install(monkeypatch)
    return fake


@pytest.fixture
def image(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).integers(100, 4000, SHAPE, np.uint16)
    tifffile.imwrite(tmp_path / "image.tif", values)
    return tmp_path / "image.tif"


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    values = np.random.default_rng(1).integers(100, 4000, (6, *SHAPE), np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", values, photometric="minisblack")
    return tmp_path / "stack.tif"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "labels.tif"


def square(x: int, y: int) -> np.ndarray:
    return fake_mask(SHAPE, [(x, y)], [1], None)


class TestSegment:
    def test_a_click(self, engine, image, out, capfd) -> None:
        done = run(capfd, "segment", image, "--point", "20,10", "--out", out)
        assert (done.code, done.err) == (0, "")
        labels = tifffile.imread(out)
        assert labels.dtype == np.uint16
        np.testing.assert_array_equal(labels, square(20, 10))
        assert "1 object in" in done.out
        assert "1: 25 px" in done.out
        assert done.out.count("\n") == 1

    def test_points_of_one_object_go_together(self, engine, image, out, capfd) -> None:
        arguments = ("--point", "20,10", "--point", "5,6.5", "--negative", "30,20")
        assert run(capfd, "segment", image, *arguments, "--out", out).code == 0
        ((coords, labels, box, multimask),) = engine.named("predict")
        np.testing.assert_array_equal(coords, [[20, 10], [5, 6.5], [30, 20]])
        np.testing.assert_array_equal(labels, [1, 1, 0])
        assert box is None
        assert multimask is False

    def test_ids_make_several_objects(self, engine, image, out, capfd) -> None:
        arguments = (
            "--point",
            "3:20,10",
            "--point",
            "70000:8,8",
            "--box",
            "2:0,20,9,29",
        )
        done = run(capfd, "segment", image, *arguments, "--out", out)
        assert done.code == 0
        labels = tifffile.imread(out)
        assert labels.dtype == np.uint32
        expected = np.zeros(SHAPE, int)
        expected[8:13, 18:23] = 3
        expected[6:11, 6:11] = 70000
        expected[20:29, 0:9] = 2
        np.testing.assert_array_equal(labels, expected)

    def test_each_box_is_an_object(self, engine, image, out, capfd) -> None:
        arguments = ("--box", "1,2,9,9", "--box", "20,2,29,9")
        assert run(capfd, "segment", image, *arguments, "--out", out).code == 0
        labels = tifffile.imread(out)
        assert set(np.unique(labels[2:9, 1:9])) == {1}
        assert set(np.unique(labels[2:9, 20:29])) == {2}
        assert [call[3] for call in engine.named("predict")] == [False, False]

    def test_point_and_box_without_id_are_one_object(
        self, engine, image, out, capfd
    ) -> None:
        arguments = ("--point", "5,5", "--box", "1,2,9,9")
        assert run(capfd, "segment", image, *arguments, "--out", out).code == 0
        ((coords, _, box, _),) = engine.named("predict")
        assert coords.tolist() == [[5, 5]]
        assert box.tolist() == [1, 2, 9, 9]

    def test_prompts_from_json_join_the_options(
        self, engine, image, out, tmp_path, capfd
    ) -> None:
        file = tmp_path / "prompts.json"
        file.write_text(json.dumps([{"object": 2, "box": [1, 2, 9, 9]}]))
        arguments = ("--point", "20,10", "--prompts", file)
        assert run(capfd, "segment", image, *arguments, "--out", out).code == 0
        assert set(np.unique(tifffile.imread(out))) == {0, 1, 2}

    def test_model_device_and_dtype_reach_the_engine(
        self, engine, image, out, capfd
    ) -> None:
        choice = ("--model", "sam2_hiera_tiny", "--device", "cpu", "--dtype", "float32")
        arguments = ("--point", "20,10", "--out", out, *choice)
        assert run(capfd, "segment", image, *arguments).code == 0
        assert engine.named("load") == [("sam2_hiera_tiny", "cpu", "float32")]

    def test_value_range_reaches_the_pixels(self, engine, out, tmp_path, capfd) -> None:
        tifffile.imwrite(tmp_path / "dark.tif", np.full(SHAPE, 150, np.uint16))
        arguments = ("--point", "20,10", "--out", out, "--value-range", "100,200")
        assert run(capfd, "segment", tmp_path / "dark.tif", *arguments).code == 0
        assert engine.images[0].shape == (*SHAPE, 3)
        assert 126 <= engine.images[0].min() <= engine.images[0].max() <= 129

    def test_one_slice_of_a_stack_is_selected(self, engine, stack, out, capfd) -> None:
        arguments = ("--point", "20,10", "--out", out, "--select", "0=4")
        assert run(capfd, "segment", stack, *arguments).code == 0
        assert tifffile.imread(out).shape == SHAPE
        values = tifffile.imread(stack)[4]
        shown = engine.images[0][..., 0]
        assert np.corrcoef(values.ravel(), shown.ravel())[0, 1] > 0.99

    def test_existing_file_needs_overwrite(self, engine, image, out, capfd) -> None:
        out.write_bytes(b"precious")
        arguments = ("segment", image, "--point", "20,10", "--out", out)
        assert_one_line_error(run(capfd, *arguments), "exists already", "overwrite")
        assert out.read_bytes() == b"precious"
        assert engine.calls == []
        assert run(capfd, *arguments, "--overwrite").code == 0
        assert tifffile.imread(out).max() == 1


class TestTrack:
    def test_every_frame_is_written(self, engine, stack, out, capfd) -> None:
        arguments = ("--frame", 2, "--point", "20,10", "--point", "2:8,8", "--out", out)
        done = run(capfd, "track", stack, *arguments)
        assert done.code == 0
        labels = tifffile.imread(out)
        assert labels.shape == (6, *SHAPE)
        assert labels.dtype == np.uint16
        expected = square(20, 10) + 2 * square(8, 8)
        for frame in labels:
            np.testing.assert_array_equal(frame, expected)
        assert [call[:2] for call in engine.named("prompt")] == [(2, 1), (2, 2)]
        assert "2 objects in 6 of 6 frames" in done.out
        assert done.out.count("\n") == 1
        assert "6/6" in done.err

    def test_range_and_direction(self, engine, stack, out, capfd) -> None:
        arguments = ("--frame", 3, "--point", "20,10", "--out", out, "--quiet")
        limits = ("--start", 1, "--stop", 4, "--direction", "backward")
        done = run(capfd, "track", stack, *arguments, *limits)
        assert (done.code, done.err) == (0, "")
        assert engine.named("propagate") == [(1, 4, "backward")]
        filled = tifffile.imread(out).any(axis=(1, 2))
        assert filled.tolist() == [False, True, True, True, False, False]
        assert "3 of 6 frames" in done.out

    def test_no_frame_in_the_direction_is_a_mistake(
        self, engine, stack, out, capfd
    ) -> None:
        arguments = ("--point", "20,10", "--out", out, "--quiet")
        limits = ("--start", 2, "--direction", "backward")
        done = run(capfd, "track", stack, *arguments, *limits)
        assert_one_line_error(done, "No frame from 2 to 5", "--direction")
        assert list(out.parent.iterdir()) == []

    @pytest.mark.parametrize(
        ("options", "dtype"),
        [
            ([], "auto"),
            (["--preset", "best"], "float32"),
            (["--preset", "fast"], "auto"),
            (["--preset", "fast", "--dtype", "float32"], "float32"),
        ],
    )
    def test_presets_bring_their_precision(
        self, options, dtype, engine, stack, out, capfd
    ) -> None:
        arguments = ("--point", "20,10", "--out", out, "--quiet", *options)
        assert run(capfd, "track", stack, *arguments).code == 0
        assert engine.named("load") == [("sam2_nano", "auto", dtype)]
        assert engine.presets == [options[1] if options else None]

    @pytest.mark.parametrize(
        ("options", "scope"), [([], "global"), (["--scope", "local"], "local")]
    )
    def test_scopes_reach_the_session(
        self, options, scope, engine, stack, out, capfd
    ) -> None:
        arguments = ("--point", "20,10", "--out", out, "--quiet", *options)
        assert run(capfd, "track", stack, *arguments).code == 0
        assert engine.scopes == [scope]

    def test_models_are_compiled_on_request(self, engine, stack, out, capfd) -> None:
        arguments = ("--point", "20,10", "--out", out, "--quiet", "--overwrite")
        for options in ([], ["--compile"]):
            assert run(capfd, "track", stack, *arguments, *options).code == 0
        assert engine.compiled == [False, True]

    def test_a_folder_for_encoded_frames(
        self, engine, stack, out, capfd, tmp_path
    ) -> None:
        arguments = ("--point", "20,10", "--out", out, "--quiet")
        assert run(capfd, "track", stack, *arguments, "--spill", tmp_path).code == 0
        assert run(capfd, "track", stack, *arguments, "--overwrite").code == 0
        assert engine.spills == [tmp_path, None]

    def test_prompts_on_several_frames(
        self, engine, stack, out, tmp_path, capfd
    ) -> None:
        file = tmp_path / "prompts.json"
        entries = [
            {"object": 1, "frame": 4, "points": [[9, 9], [20, 20]], "labels": [1, 0]},
            {"object": 1, "points": [[5, 5]]},
        ]
        file.write_text(json.dumps(entries))
        arguments = ("--frame", 1, "--prompts", file, "--out", out)
        assert run(capfd, "track", stack, *arguments).code == 0
        first, second = engine.named("prompt")
        assert first[:2] == (1, 1)
        assert second[:2] == (4, 1)
        assert second[2].tolist() == [[9, 9], [20, 20]]
        assert second[3].tolist() == [1, 0]

    def test_folder_of_images(self, engine, out, tmp_path, capfd) -> None:
        folder = tmp_path / "frames"
        folder.mkdir()
        for index in range(3):
            tifffile.imwrite(folder / f"{index}.tif", np.full(SHAPE, index, np.uint8))
        done = run(capfd, "track", folder, "--point", "20,10", "--out", out)
        assert done.code == 0
        assert tifffile.imread(out).shape == (3, *SHAPE)

    def test_interruption_leaves_nothing_behind(
        self, engine, stack, out, capfd
    ) -> None:
        engine.fail_at = 3
        done = run(capfd, "track", stack, "--point", "20,10", "--out", out, "--quiet")
        assert done.code == 130
        assert "napari-sam2: stopped" in done.err
        assert list(out.parent.iterdir()) == []


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
    "range turned around": (["--point", "5,5", "--value-range", "9,2"], "(9, 2)"),
    "select nonsense": (["--point", "5,5", "--select", "Z"], "AXIS=N"),
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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--frame", 6), ["frame 6"]),
        (("--frame", -1), ["--frame"]),
        (("--frame", "x"), ["--frame"]),
        (("--start", 4, "--stop", 2), ["--start 4"]),
        (("--stop", 6), ["0 to 5"]),
        (("--direction", "up"), ["--direction"]),
        (("--preset", "faster"), ["faster", "best, balanced, fast"]),
        (("--scope", "near"), ["--scope", "near"]),
    ],
)
def test_bad_frames_are_one_line(options, words, engine, stack, out, capfd) -> None:
    done = run(capfd, "track", stack, "--point", "5,5", "--out", out, *options)
    assert_one_line_error(done, *words)
    assert list(out.parent.iterdir()) == []
    assert engine.calls == []


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


class TestModels:
    def test_list_names_all_models(self, capfd) -> None:
        done = run(capfd, "models", "list")
        assert done.code == 0
        names = [line.split()[0] for line in done.out.splitlines()[:-1]]
        assert names == sam2_core.list_models()
        assert "not downloaded" in done.out
        assert "Apache-2.0" in done.out

    def test_path_is_in_the_chosen_home(self, tmp_path, monkeypatch, capfd) -> None:
        monkeypatch.setenv("NAPARI_SAM2_HOME", str(tmp_path))
        done = run(capfd, "models", "path", "sam2.1_hiera_tiny")
        assert done.code == 0
        assert Path(done.out.strip()) == tmp_path / "sam2.1_hiera_tiny.pt"

    def test_download_shows_progress_and_the_path(self, monkeypatch, capfd) -> None:
        def fake(name: str, progress) -> Path:
            for done in (1_000_000, 156_008_466):
                progress(done, 156_008_466)
            return Path(f"/somewhere/{name}.pt")

        monkeypatch.setattr("sam2_core.download.download", fake)
        done = run(capfd, "models", "download", "sam2.1_hiera_tiny")
        assert done.code == 0
        assert done.out.strip().endswith("sam2.1_hiera_tiny.pt")
        assert "100%" in done.err

    def test_verify_of_a_missing_or_wrong_file(
        self, tmp_path, monkeypatch, capfd
    ) -> None:
        monkeypatch.setenv("NAPARI_SAM2_HOME", str(tmp_path))
        assert_one_line_error(run(capfd, "models", "verify", "sam2_hiera_tiny"))
        (tmp_path / "sam2_hiera_tiny.pt").write_bytes(b"not it")
        assert_one_line_error(run(capfd, "models", "verify", "sam2_hiera_tiny"))
        done = run(capfd, "models", "list")
        (line,) = [x for x in done.out.splitlines() if x.startswith("sam2_hiera_tiny")]
        assert line.endswith("incomplete")

    def test_bad_calls(self, capfd) -> None:
        for command in ("path", "verify", "download"):
            done = run(capfd, "models", command, "sam2_hiera_tinny")
            assert_one_line_error(done, "sam2_hiera_tiny")
            assert_one_line_error(run(capfd, "models", command), "NAME")
        assert_one_line_error(run(capfd, "models"), "command")
        assert_one_line_error(run(capfd, "models", "bake"), "bake")


def test_info_names_versions_device_and_speed(engine, capfd, monkeypatch) -> None:
    monkeypatch.setattr("sam2_core.registry.is_available", lambda name: True)
    done = run(capfd, "info", "--device", "cpu", "--dtype", "float32")
    assert done.code == 0
    lines = dict(line.split(":", 1) for line in done.out.splitlines())
    assert lines["napari-sam2"].strip() == sam2_core.__version__
    assert lines["python"].strip().startswith(sys.version.split()[0])
    assert lines["device"].strip().startswith("cpu (CPU")
    assert lines["dtype"].strip() == "float32"
    assert "encode" in lines["speed"]
    assert "click" in lines["speed"]
    assert len(engine.images) == 4
    assert len(engine.named("predict")) == 6


def test_info_without_weights_says_so(capfd, monkeypatch) -> None:
    monkeypatch.setattr("sam2_core.registry.is_available", lambda name: False)
    done = run(capfd, "info")
    assert done.code == 0
    assert "not measured" in done.out
    assert "none found" in done.out


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
