"""napari-sam2 segment, with an engine that needs no weights."""

from __future__ import annotations

import json

import numpy as np
import tifffile
from cli_helpers import (
    SHAPE,
    assert_one_line_error,
    run,
    square,
)


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
        dark = np.full(SHAPE, 150, np.uint16)
        dark[0, 0] = 149
        tifffile.imwrite(tmp_path / "dark.tif", dark)
        arguments = ("--point", "20,10", "--out", out, "--value-range", "100,200")
        assert run(capfd, "segment", tmp_path / "dark.tif", *arguments).code == 0
        assert engine.images[0].shape == (*SHAPE, 3)
        assert 125 <= engine.images[0].min() < engine.images[0].max() <= 129

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

    def test_a_folder_is_no_image(self, image, out, tmp_path, capfd) -> None:
        folder = tmp_path / "images"
        folder.mkdir()
        for name in ("a.tif", "b.tif"):
            (folder / name).write_bytes(image.read_bytes())
        done = run(capfd, "segment", folder, "--point", "20,10", "--out", out)
        assert_one_line_error(done, "has 2 frames", "track", "one of its files")
        assert "--select" not in done.err  # which a folder refuses
        done = run(capfd, "everything", folder, "--out", out)
        assert_one_line_error(done, "has 2 frames", "one of its files")
        assert "--select" not in done.err
