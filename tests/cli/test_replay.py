"""A session made in the dock and repeated on the command line, with the real model."""

from __future__ import annotations

import importlib

import npe2
import numpy as np
import pytest
import tifffile
from cli_helpers import assert_one_line_error, run

from sam2_core.registry import is_available


def nuclei(length=4, size=64):
    """Two discs that move and grow."""
    rows, columns = np.mgrid[:size, :size]
    frames = [
        200 * ((rows - 20 - t) ** 2 + (columns - 20) ** 2 < (8 + t) ** 2)
        + 150 * ((rows - 45) ** 2 + (columns - 42 + t) ** 2 < 9**2)
        for t in range(length)
    ]
    noise = np.random.default_rng(0).integers(0, 30, (length, size, size))
    return (np.stack(frames) + noise).astype(np.uint8)


def dock_on(viewer):
    """A controller that raises what goes wrong, without a window."""
    from napari_sam2._controller import SegmentController
    from napari_sam2._jobs import JobRunner, run_inline
    from napari_sam2._state import SegmentationState
    from napari_sam2.engine._backend import Sam2Backend
    from napari_sam2.engine._engine import Engine

    dock = SegmentController(
        viewer, SegmentationState(), JobRunner(run_inline), Engine(Sam2Backend())
    )
    dock.errors = []
    dock.kept = dock.errors.append
    dock.tasks.failed.connect(dock.kept)
    return dock


@pytest.fixture
def session(tmp_path):
    """Prompts, propagation, a correction, undo; gives the file and the labels."""
    from napari.components import ViewerModel

    from napari_sam2.sessions._keeping import SessionKeeper

    path = tmp_path / "nuclei.tif"
    tifffile.imwrite(path, nuclei(), photometric="minisblack")
    npe2.PluginManager.instance().discover()
    viewer = ViewerModel()
    (image,) = viewer.open(str(path), plugin="napari")
    dock = dock_on(viewer)
    dock.choose_image(image)
    keeper = SessionKeeper(dock, tmp_path / "autosaves")
    viewer.dims.set_current_step(0, 1)
    dock.add_point((21, 20))
    dock.next_object()
    dock.add_shapes([[(35, 30), (35, 52), (55, 52), (55, 30)]])
    dock.propagate("both")
    viewer.dims.set_current_step(0, 3)
    dock.add_point((45, 39))
    dock.add_point((30, 50), positive=False)
    dock.undo()
    dock.propagate("forward", 2, 3)
    assert dock.errors == []
    return keeper.save(tmp_path / "work"), dock.stage.labels.data.copy()


@pytest.mark.skipif(not is_available("sam2_nano"), reason="no bundled weights")
def test_objects_without_prompts_are_counted(session, tmp_path, capfd, monkeypatch):
    path, labels = session
    added = labels.copy()
    added[0, -4:, -4:], added[2, -4:, -4:] = 7, 9
    module = importlib.import_module("napari_sam2.commands.replay")
    monkeypatch.setattr(module, "run", lambda *_: (added, ""))
    done = run(capfd, "replay", path, "--out", tmp_path / "labels.tif")
    assert done.code == 0, done.err
    assert done.out.startswith("4 objects in ")


@pytest.mark.slow
@pytest.mark.skipif(not is_available("sam2_nano"), reason="no bundled weights")
def test_replay_writes_the_same_labels(session, tmp_path, capfd):
    path, labels = session
    assert set(np.unique(labels)) == {0, 1, 2}
    out = tmp_path / "labels.tif"
    done = run(capfd, "replay", path, "--out", out, "--quiet")
    assert done.code == 0, done.err
    assert "2 objects in" in done.out
    assert "3 prompts" in done.out
    written = tifffile.imread(out)
    assert written.dtype == np.uint16
    np.testing.assert_array_equal(written, labels)
    again = run(capfd, "replay", path, "--out", out)
    assert_one_line_error(again, "exists already")
    image = tmp_path / "nuclei.tif"
    tifffile.imwrite(image, nuclei() + 1, photometric="minisblack")
    more = "--out", out, "--overwrite", "--image", image
    assert_one_line_error(run(capfd, "replay", path, *more), "not the image")


@pytest.mark.slow
@pytest.mark.skipif(not is_available("sam2_nano"), reason="no bundled weights")
def test_two_images_that_have_moved_are_both_said(tmp_path, capfd):
    from napari.components import ViewerModel

    from napari_sam2.sessions._keeping import SessionKeeper

    npe2.PluginManager.instance().discover()
    viewer, (raw, clean) = ViewerModel(), nuclei(2)
    for name, data in (("raw", raw), ("clean", clean[::-1])):
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, data, photometric="minisblack")
        viewer.open(str(path), plugin="napari")
    dock = dock_on(viewer)
    dock.choose_image(viewer.layers["clean"])
    keeper = SessionKeeper(dock, tmp_path / "autosaves")
    dock.add_point((18, 41))
    labels = dock.stage.labels
    dock.choose_image(viewer.layers["raw"])
    dock.choose_labels(labels)
    dock.add_point((20, 20), object_id=2)
    assert set(np.unique(labels.data)) == {0, 1, 2}
    path, out = keeper.save(tmp_path / "work"), tmp_path / "labels.tif"
    (tmp_path / "new").mkdir()
    moved = []
    for name in ("raw", "clean"):
        moved += ["--image", tmp_path / "new" / f"{name}.tif"]
        (tmp_path / f"{name}.tif").rename(moved[-1])
    capfd.readouterr()  # napari's progress
    refused = run(capfd, "replay", path, "--out", out, *moved[:2])
    assert_one_line_error(refused, "clean.tif", "not at", "--image")
    assert not out.exists()
    done = run(capfd, "replay", path, "--out", out, "--quiet", *moved)
    assert (done.code, done.err) == (0, "")
    np.testing.assert_array_equal(tifffile.imread(out), labels.data)


def test_what_is_no_session_is_one_line(tmp_path, capfd):
    missing = run(capfd, "replay", tmp_path / "a.json", "--out", tmp_path / "o.tif")
    assert_one_line_error(missing, "a.json")
    assert "Errno" not in missing.err
    tifffile.imwrite(tmp_path / "a.tif", np.full((9, 9), 200, np.uint8))
    image = run(capfd, "replay", tmp_path / "a.tif", "--out", tmp_path / "o.tif")
    assert_one_line_error(image, "a.tif is no session file")
    (tmp_path / "a.json").write_text("{}")
    other = run(capfd, "replay", tmp_path / "a.json", "--out", tmp_path / "o.tif")
    assert_one_line_error(other, "session")
