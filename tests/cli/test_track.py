"""napari-sam2 track, with an engine that needs no weights."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import zarr
from cli_helpers import SHAPE, assert_one_line_error, run, square, write_noise

if TYPE_CHECKING:
    from collections.abc import Iterator


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

    def test_negative_points_correct_what_was_found_on_their_frame(
        self, engine, stack, out, tmp_path, capfd
    ) -> None:
        file = tmp_path / "prompts.json"
        entries = [
            {"object": 1, "frame": 1, "points": [[9, 9]], "labels": [0]},
            {"object": 1, "frame": 3, "points": [[5, 5]]},
            {"object": 2, "frame": 3, "points": [[20, 9]], "labels": [0]},
        ]
        file.write_text(json.dumps(entries[:2]))
        arguments = ("--prompts", file, "--out", out, "--quiet")
        assert run(capfd, "track", stack, *arguments).code == 0
        asked = [call for call in engine.calls if call[0] in ("prompt", "propagate")]
        assert [call[0] for call in asked] == [
            "prompt",
            "propagate",
            "prompt",
            "propagate",
        ]
        assert [frame for frame, *_ in engine.named("prompt")] == [3, 1]
        file.write_text(json.dumps(entries))
        done = run(capfd, "track", stack, *arguments, "--overwrite")
        assert_one_line_error(done, "Object 2 has no positive point")

    def test_folder_of_images(self, engine, out, tmp_path, capfd) -> None:
        folder = tmp_path / "frames"
        folder.mkdir()
        for index in range(3):
            write_noise(folder / f"{index}.tif", SHAPE, index)
        done = run(capfd, "track", folder, "--point", "20,10", "--out", out)
        assert done.code == 0
        assert tifffile.imread(out).shape == (3, *SHAPE)

    def test_frames_without_an_object_are_not_counted(
        self, engine, stack, out, monkeypatch, capfd
    ) -> None:
        def propagate(*_: object) -> Iterator[SimpleNamespace]:
            for index, x in ((2, 20), (3, 20), (4, None), (3, None), (5, 20)):
                mask = np.zeros(SHAPE, bool) if x is None else square(x, 10)
                yield SimpleNamespace(frame_index=index, masks={1: mask})

        session = SimpleNamespace(add_prompts=lambda *_, **__: None)
        session.propagate = propagate
        monkeypatch.setattr(engine, "VideoSession", lambda *_, **__: session)
        engine.install(monkeypatch)
        done = run(capfd, "track", stack, "--point", "20,10", "--out", out, "--quiet")
        filled = tifffile.imread(out).any(axis=(1, 2))
        assert filled.tolist() == [False, False, True, False, False, True]
        assert done.out.startswith("1 object in 2 of 6 frames")

    def test_interruption_leaves_nothing_behind(
        self, engine, stack, out, capfd
    ) -> None:
        engine.fail_at = 3
        done = run(capfd, "track", stack, "--point", "20,10", "--out", out, "--quiet")
        assert done.code == 130
        assert "napari-sam2: stopped" in done.err
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


def test_a_zarr_store_is_a_stack(engine, out, tmp_path, capfd) -> None:
    path = tmp_path / "stack.zarr"
    noise = np.random.default_rng(0).integers(0, 255, (3, *SHAPE), np.uint8)
    zarr.open_array(str(path), mode="w", shape=noise.shape, dtype="u1")[:] = noise
    done = run(capfd, "track", path, "--point", "20,10", "--out", out, "--quiet")
    assert (done.code, done.err) == (0, "")
    assert tifffile.imread(out).shape == (3, *SHAPE)
