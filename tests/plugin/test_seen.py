"""What the model is shown, from the click to the session that repeats it."""

from __future__ import annotations

import npe2
import numpy as np
import pytest
import tifffile
from fakes import FakeBackend, disc

from napari_sam2.commands.replay import run
from napari_sam2.engine._engine import Engine
from napari_sam2.history._history import History
from napari_sam2.history._record import Record
from napari_sam2.history._replay import Redo, apply, rerun
from napari_sam2.picture._image_reference import checksum
from napari_sam2.picture._sources import files
from napari_sam2.sessions import _keeping
from napari_sam2.sessions._keeping import SessionKeeper
from napari_sam2.sessions._session_file import read_session
from sam2_core import ImageError

RNG = np.random.default_rng(7)
NUCLEI = RNG.integers(0, 4000, (4, 40, 60), dtype=np.uint16)
MEMBRANE = RNG.integers(0, 4000, (4, 40, 60), dtype=np.uint16)


def second_channel(t, data=MEMBRANE):
    t.viewer.layers[0].colormap = "green"
    return t.viewer.add_image(
        data, name="membrane", colormap="magenta", blending="additive"
    )


def test_the_model_is_shown_the_blend(tool, backend):
    t = tool(NUCLEI[0], name="nuclei", contrast_limits=(0, 4000))
    second_channel(t, MEMBRANE[0]).contrast_limits = (0, 8000)
    t.state.sees = "shown"
    t.add_point((10, 20))
    picture = backend.encoded[-1]
    green, magenta = NUCLEI[0] / 4000 * 255, MEMBRANE[0] / 8000 * 255
    np.testing.assert_allclose(picture[..., 1], green, atol=1)
    np.testing.assert_allclose(picture[..., 0], magenta, atol=1)


def test_a_changed_look_is_encoded_anew_and_an_unchanged_one_is_not(tool, backend):
    t = tool(NUCLEI[0], name="nuclei")
    other = second_channel(t, MEMBRANE[0])
    t.state.sees = "shown"
    t.add_point((10, 20))
    t.add_point((12, 22))
    number = len(backend.encoded)
    for change in ({"visible": False}, {"visible": True}, {"colormap": "red"}):
        for name, value in change.items():
            setattr(other, name, value)
        t.add_point((11, 21))
        number += 1
        assert len(backend.encoded) == number
    assert t.stage.labels.data[10, 20] == 1


def test_a_stack_is_followed_in_the_blend_one_frame_at_a_time(tool, backend):
    t = tool(NUCLEI, name="nuclei", contrast_limits=(0, 4000))
    second_channel(t).contrast_limits = (0, 4000)
    t.state.sees = "shown"
    t.add_point((0, 10, 20))
    t.propagate("forward")
    frames = backend.sessions[-1].frames
    for index in range(4):
        picture = frames.frame(index)
        np.testing.assert_allclose(picture[..., 1], NUCLEI[index] / 4000 * 255, atol=1)
        np.testing.assert_allclose(
            picture[..., 2], MEMBRANE[index] / 4000 * 255, atol=1
        )
    assert t.stage.labels.data.any((1, 2)).all()
    assert not t.errors


def test_nothing_visible_is_one_sentence(tool):
    t = tool(NUCLEI[0])
    t.state.sees = "shown"
    t.stage.image.visible = False
    t.add_point((10, 20))
    assert "visible" in str(t.errors[-1])


class Watching(FakeBackend):
    """Keeps every frame that a session or predictor could be asked for."""

    def pictures(self):
        shown = [image for image in self.encoded if not isinstance(image, int)]
        for session in self.sessions:
            shown += [session.frames.frame(i) for i in range(len(session.frames))]
        return shown


@pytest.fixture
def kept(tool, tmp_path):
    """A blended session on two files; gives the tool, the session file, the paths."""
    paths = [tmp_path / "nuclei.tif", tmp_path / "membrane.tif"]
    npe2.PluginManager.instance().discover()
    t = tool()
    for path, data, color in zip(
        paths, (NUCLEI, MEMBRANE), ("green", "magenta"), strict=True
    ):
        tifffile.imwrite(path, data, photometric="minisblack")
        (layer,) = t.viewer.open(
            str(path), plugin="napari", colormap=color, blending="additive"
        )
        layer.contrast_limits = (100, 3000)
    t.choose_image(t.viewer.layers["nuclei"])
    keeper = SessionKeeper(t, tmp_path / "autosaves")
    t.state.sees = "shown"
    t.add_point((1, 10, 20))
    t.propagate("both")
    t.viewer.layers["membrane"].gamma = 0.7
    t.add_point((2, 14, 24))
    t.next_object()
    t.viewer.layers["membrane"].visible = False
    t.add_point((3, 30, 40))
    assert not t.errors
    return t, keeper.save(tmp_path / "blend.json"), paths


def test_a_session_repeats_the_blends(kept, backend):
    t, path, _ = kept
    session = read_session(path)
    assert [source.name for source in session.journal.sources.references] == [
        "nuclei",
        "membrane",
    ]
    session.journal.sources.find(files(()), session.image, NUCLEI)
    again = Watching()
    labels = type("Labels", (), {"data": np.zeros_like(t.stage.labels.data)})()
    history = History(Record(session.journal))
    for item in rerun(session.journal, NUCLEI, Engine(again), lambda: False):
        if isinstance(item, Redo):
            apply(item, labels, history)
    np.testing.assert_array_equal(labels.data, t.stage.labels.data)
    ours = [s.frames.frame(i) for s in backend.sessions for i in range(4)]
    theirs = again.pictures()
    assert len(ours) == len(theirs) >= 8
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_channels_are_looked_into_by_the_worker(tool, monkeypatch, tmp_path):
    """Reading them for an autosave would let the window wait."""

    def must_not(data):
        raise AssertionError("read on the GUI thread")

    monkeypatch.setattr(_keeping, "checksum", must_not)
    t = tool(NUCLEI, name="nuclei")
    keeper = SessionKeeper(t, tmp_path / "autosaves")
    second_channel(t)
    t.state.sees = "shown"
    t.add_point((1, 10, 20))
    session = keeper.describe(at_once=True)
    sums = [each.checksum for each in session.journal.sources.references]
    assert sums == [checksum(NUCLEI), checksum(MEMBRANE)]


def test_the_dock_brings_a_blended_session_back(kept, tool, tmp_path):
    t, path, paths = kept
    again = tool()
    for file in paths:
        again.viewer.open(str(file), plugin="napari")
    keeper = SessionKeeper(again, tmp_path / "other")
    keeper.load(path)
    assert again.stage.image.name == "nuclei"
    assert again.state.sees == "shown"
    np.testing.assert_array_equal(again.stage.labels.data, t.stage.labels.data)
    again.next_object()
    again.add_point((0, 20, 20))
    keeper.save(path)
    assert len(read_session(path).journal.sources.references) == 2


def test_a_channel_that_is_gone_is_refused_in_one_sentence(kept, tool, tmp_path):
    _, path, paths = kept
    paths[1].unlink()
    again = tool(NUCLEI, name="nuclei")
    with pytest.raises(ImageError, match="'membrane'"):
        SessionKeeper(again, tmp_path / "other").load(path)
    session = read_session(path)
    with pytest.raises(ImageError, match="membrane"):
        session.journal.sources.find(files(()), session.image, NUCLEI)
    with pytest.raises(ImageError, match="membrane"):
        run(session, NUCLEI)


# -- parts of large images --------------------------------------------------------

LARGE = np.zeros((3000, 2600), np.uint8)


def zoom(t, center, factor=4.0):
    t.viewer.canvas.size = (600, 800)
    t.viewer.scene.camera.zoom = factor
    t.viewer.scene.camera.center = (0, *center)


def test_a_click_in_a_large_image_encodes_only_what_is_on_screen(tool, backend):
    t = tool(LARGE)
    assert not backend.encoded
    zoom(t, (1500, 1000))
    t.add_point((1500, 1000))
    assert max(backend.encoded[-1].shape[:2]) <= 520
    labels = t.stage.labels.data
    rows, columns = np.nonzero(labels == 1)
    assert labels[1500, 1000] == 1
    np.testing.assert_array_equal(
        labels[1480:1520, 980:1020] == 1, disc((40, 40), 20, 20)
    )
    assert rows.min() > 1480
    assert columns.max() < 1020
    x0, y0, x1, y1 = t.state.looked.region
    assert x0 < 1000 < x1
    assert y0 < 1500 < y1


def test_corrections_candidates_undo_and_facts_are_at_their_place(tool):
    t = tool(LARGE)
    zoom(t, (1500, 1000))
    t.add_point((1500, 1000))
    (fact,) = t.history.record.review.facts[0, 1][1].values()
    assert fact.centre == pytest.approx((1500, 1000), abs=0.1)
    choices = t.state.choices
    assert choices.masks[0].bounds() == (998, 1498, 1002, 1502)
    assert choices.cropped(2)[1500 - choices.corner[0], 1000 - choices.corner[1]]
    t.add_point((1500, 1008))
    assert t.stage.labels.data[1500, 1013] == 1
    zoom(t, (1800, 1000))  # elsewhere, and back to the same object from there
    t.add_point((1800, 1000))
    assert t.stage.labels.data[1500, 1000] == t.stage.labels.data[1800, 1000] == 1
    t.undo()
    assert t.stage.labels.data[1500, 1013] == 1
    assert t.stage.labels.data[1800, 1000] == 0
    t.undo()
    t.undo()
    assert not t.stage.labels.data.any()


def test_old_pixels_outside_the_region_go_too(tool):
    t = tool(LARGE)
    t.stage.labels.data[200:210, 200:210] = 1
    zoom(t, (1500, 1000))
    t.stage.labels.data[1500, 990] = 7
    t.add_point((1500, 1000), object_id=3)
    t.next_object()
    t.add_point((1500, 1003))
    labels = t.stage.labels.data
    assert (labels[200:210, 200:210] == 1).all()
    assert labels[1500, 990] == 7
    assert labels[1500, 1000] == 3  # others are kept


def test_an_object_that_the_region_cuts_is_looked_at_in_a_larger_one(tool, backend):
    t = tool(LARGE)
    t.state.model = "sam2.1_hiera_tiny"
    zoom(t, (1500, 1000), 20.0)
    t.add_shapes([[(1490, 990), (1490, 1009), (1509, 1009), (1509, 990)]])
    first = backend.encoded[-1].shape
    t.stage.remove_prompts(1)
    original = t.tasks.engine._predict_one

    def wide(key, prompts, frames, others):
        found = original(key, prompts, frames, others)
        if max(frames.shape) < 300:  # the object goes on to the edge
            found.ids[0] = 1
        return found

    t.tasks.engine._predict_one = wide
    t.add_point((1500, 1000))
    assert max(backend.encoded[-1].shape) >= 2 * max(first) - 8
    assert t.state.looked.region[2] - t.state.looked.region[0] >= 300
    assert t.stage.labels.data[1500, 1000] == 1


def test_a_session_repeats_the_regions(tool, backend, tmp_path):
    t = tool(LARGE)
    keeper = SessionKeeper(t, tmp_path / "autosaves")
    zoom(t, (1500, 1000))
    t.add_point((1500, 1000))
    zoom(t, (2500, 600), 9.0)
    t.next_object()
    t.add_point((2500, 600))
    t.add_point((2505, 606), positive=False)
    session = read_session(keeper.save(tmp_path / "large.json"))
    again = FakeBackend()
    labels = type("Labels", (), {"data": np.zeros_like(LARGE, np.uint16)})()
    history = History(Record(session.journal))
    for item in rerun(session.journal, LARGE, Engine(again), lambda: False):
        if isinstance(item, Redo):
            apply(item, labels, history)
    np.testing.assert_array_equal(labels.data, t.stage.labels.data)
    assert [i.shape for i in again.encoded] == [i.shape for i in backend.encoded]


def test_a_click_in_3d_display_goes_back_and_says_why(tool):
    t = tool(NUCLEI)
    t.viewer.dims.ndisplay = 3
    t.stage.points.add([[2, 10, 20]])
    assert len(t.stage.points.data) == 0
    assert "2D display" in t.state.status
    assert not t.stage.labels.data.any()
    t.viewer.dims.ndisplay = 2
    t.viewer.dims.set_current_step(0, 2)
    t.stage.points.add([[2, 10, 20]])
    assert t.stage.labels.data[2, 10, 20] == 1
