"""Search, choose, add and undo, on a ViewerModel with a fake model."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from napari.components import ViewerModel
from search_fakes import (
    LARGE,
    SCENE,
    SHAPE,
    SMALL,
    UNSURE,
    FakeSearchBackend,
    preview,
    scene,
    shown,
)

from napari_sam2._jobs import Job, JobRunner
from napari_sam2.automatic._automatic import AutomaticController
from napari_sam2.automatic._search import (
    Progress,
    _follow,
)
from sam2_core import CheckpointError, ImageError, InferenceError

SURE = {"large", "small", "thread"}  # what passes by default


@pytest.fixture
def backend():
    return FakeSearchBackend()


# -- the search ---------------------------------------------------------------------


def test_a_call_is_followed():
    def call(tell):
        for i in range(3):
            tell(i, 3)
        return scene()

    items = list(_follow(call))
    assert items[:3] == [Progress(0, 3), Progress(1, 3), Progress(2, 3)]
    assert [mask.area for mask in items[3]] == [mask.area for mask in scene()]
    assert len(items) == 4


def test_error_in_a_followed_call_is_raised_and_the_thread_ends():
    before = threading.active_count()

    def call(tell):
        tell(1, 2)
        raise RuntimeError("broken")

    follow = _follow(call)
    assert next(follow) == Progress(1, 2)
    with pytest.raises(RuntimeError, match="broken"):
        next(follow)
    assert threading.active_count() == before


def test_preview_follows_the_limits_without_asking_the_model(automatic, backend):
    a = automatic()
    a.search()
    assert shown(a) == SURE
    assert (a.state.found, a.state.shown) == (5, 3)
    assert (a.state.smallest, a.state.largest) == (SMALL.sum(), LARGE.sum())
    a.filter(min_stability=0.4)
    assert shown(a) == SURE | {"shaky"}
    a.filter(min_iou=0.3, min_stability=0.9)
    assert shown(a) == SURE | {"unsure"}
    a.filter(max_area=UNSURE.sum())
    assert shown(a) == {"small", "unsure", "thread"}
    a.filter(min_area=SMALL.sum() + 1)
    assert shown(a) == {"unsure", "thread"}
    a.filter(min_roundness=0.5)
    assert shown(a) == {"unsure"}
    assert a.state.shown == 1
    assert len(backend.searches) == 1
    assert len(a.candidates) == 5


def test_limits_suit_the_model_until_the_user_chooses(automatic, backend):
    backend.good = 0.3, 0.4
    a = automatic()
    a.search()
    assert (a.state.min_iou, a.state.min_stability) == (0.3, 0.4)
    assert shown(a) == set(SCENE)
    a.filter(min_iou=0.94)
    a.search()
    assert (a.state.min_iou, a.state.min_stability) == (0.94, 0.4)
    backend.good = 0.8, 0.95
    a.choose_model("sam2.1_hiera_tiny")
    a.search()
    assert (a.state.min_iou, a.state.min_stability) == (0.8, 0.95)


def test_limits_that_let_nothing_pass_are_lowered(automatic):
    """A small model is less sure of itself than a large one."""
    a = automatic()
    a.filter(min_iou=0.99, min_stability=0.95, max_area=300)
    a.search()
    assert a.state.min_iou == 0.9  # half of the scene reaches it
    assert a.state.min_stability == 0.95
    assert a.state.max_area == 300
    assert shown(a) == {"small"}
    assert "5 candidates; the limits were lowered" in a.state.status


def test_limits_stay_when_something_passes(automatic):
    a = automatic()
    a.filter(min_iou=0.94)
    a.search()
    assert a.state.min_iou == 0.94


def test_unknown_limit(automatic):
    with pytest.raises(TypeError, match="max_iou"):
        automatic().filter(max_iou=1)


def test_model_is_loaded_once_and_only_for_a_search(automatic, backend):
    a = automatic()
    a.tasks.survey()
    assert backend.loaded == []
    a.search()
    a.search()
    assert backend.loaded == [("sam2_nano", "auto")]
    a.choose_model(device="cpu")
    a.search()
    assert backend.loaded[1:] == [("sam2_nano", "cpu")]


def test_the_model_sees_the_contrast_shown_and_gets_the_options(automatic, backend):
    data = np.full(SHAPE, 50.0)
    a = automatic(data, contrast_limits=(0, 100))
    a.state.update(points_per_side=8, crop_layers=1)
    a.search((10, 5, 70, 200))
    image, options = backend.searches[0]
    assert set(np.unique(image)) <= {127, 128}
    assert options.region == (10, 5, 70, 60)
    assert (options.points_per_side, options.crop_layers) == (8, 1)


def test_the_model_sees_all_channels_that_are_shown(automatic, backend):
    left, right = np.zeros(SHAPE), np.zeros(SHAPE)
    left[:, :40], right[:, 40:] = 1, 1
    look = {"contrast_limits": (0, 1), "blending": "additive"}
    a = automatic(left, colormap="red", **look)
    a.viewer.add_image(right, colormap="green", **look)
    a.search()
    a.state.sees = "shown"
    a.search()
    (alone, _), (blend, _) = backend.searches
    assert alone[:, :40].min() == 255
    assert not alone[:, 40:].any()
    np.testing.assert_array_equal(blend[0, 0], (255, 0, 0))
    np.testing.assert_array_equal(blend[0, -1], (0, 255, 0))
    a.viewer.layers[0].visible = a.viewer.layers[1].visible = False
    with pytest.raises(ImageError, match="visible"):
        a.search()


def test_progress_and_time_left(automatic, backend):
    a = automatic()
    seen = []
    a.state.events.done.connect(
        lambda: seen.append((a.state.done, a.state.total, a.state.seconds_left))
    )
    a.state.points_per_side = 4
    backend.delay = 0.02
    a.search()
    assert [done for done, _, _ in seen] == [4, 8, 12, 16, 0]
    assert {total for _, total, _ in seen[:4]} == {16}
    assert a.state.busy == ""
    assert a.state.total == 0
    assert "5 candidates" in a.state.status


def test_cancel_keeps_the_candidates_of_before(automatic, backend):
    a = automatic()
    a.search()
    backend.on_answer = a.cancel
    a.search()
    assert len(backend.searches) == 2
    assert a.state.status == "Stopped."
    assert shown(a) == SURE
    assert a.errors == []


def test_errors_of_the_model_are_told(automatic, backend):
    a = automatic()
    backend.error = RuntimeError("CUDA out of memory. Tried")
    a.search()
    (error,) = a.errors
    assert isinstance(error, InferenceError)
    assert "smaller model" in a.state.status
    backend.error = None
    a.search()
    assert shown(a) == SURE


def test_what_a_user_can_get_wrong(automatic, backend):
    with pytest.raises(ImageError, match="Open an image"):
        automatic(None).search()
    a = automatic()
    with pytest.raises(ImageError, match="Find objects first"):
        a.add_to_labels()
    with pytest.raises(ImageError, match="too little"):
        a.search((100, 0, 120, 50))
    with pytest.raises(ImageError, match="'nowhere'"):
        a.search("nowhere")
    a.viewer.dims.ndisplay = 3
    with pytest.raises(ImageError, match="2D display"):
        a.search()
    a.viewer.dims.ndisplay = 2
    a.search()
    a.filter(min_iou=1.0)
    with pytest.raises(ImageError, match="No candidate passes"):
        a.add_to_labels()
    a.state.missing = {"sam2_nano": 1}
    with pytest.raises(CheckpointError, match="Download under Image and model"):
        a.search()
    a.undo()
    assert a.state.status == "Nothing to undo."


# -- layers -------------------------------------------------------------------------


def test_stack_works_on_the_plane_shown(automatic, backend):
    stack = np.zeros((4, *SHAPE), np.float32)
    stack[2] = 1
    a = automatic(stack, contrast_limits=(0, 1))
    a.viewer.dims.set_current_step(0, 2)
    a.search()
    assert backend.searches[0][0].min() == 255
    a.viewer.dims.set_current_step(0, 0)  # the candidates stay where they are
    assert preview(a).any(axis=(1, 2)).tolist() == [False, False, True, False]
    a.add_to_labels()
    labels = a.state.labels.data
    assert labels.any(axis=(1, 2)).tolist() == [False, False, True, False]
    a.search()
    assert preview(a).any(axis=(1, 2)).tolist() == [True, False, False, False]
    assert min(a.add_to_labels()) == labels[2].max() + 1
    a.undo()
    assert labels.any(axis=(1, 2)).tolist() == [False, False, True, False]
    a.undo()
    assert not labels.any()


def test_other_planes_of_a_stack(automatic, backend):
    a = automatic(np.zeros((60, 3, 80), np.float32))
    a.viewer.dims.order = (1, 0, 2)
    a.viewer.dims.set_current_step(1, 1)
    a.search()
    assert backend.searches[0][0].shape == (60, 80, 3)
    assert preview(a)[:, 1].any()
    assert not preview(a)[:, [0, 2]].any()


def test_layers_that_go_away(automatic):
    a = automatic()
    a.search()
    a.viewer.layers.remove("SAM2 candidates")
    assert not a.state.searched
    a.search()
    a.add_to_labels()
    a.viewer.layers.remove(a.state.labels)
    assert a.state.labels is None
    assert a.state.shown == 3
    a.add_to_labels()
    a.viewer.layers.remove(a.state.image)
    assert a.state.image is None
    assert [layer.name for layer in a.viewer.layers] == ["SAM2 labels"]


def test_discard(automatic):
    a = automatic()
    a.search()
    a.discard()
    assert list(a.viewer.layers) == [a.state.image]
    assert a.candidates == []
    assert (a.state.found, a.state.shown) == (0, 0)


def test_another_image_ends_the_search_of_the_first(automatic):
    a = automatic()
    a.search()
    other = a.viewer.add_image(np.zeros((30, 30)))
    a.choose_image(other)
    assert not a.state.searched
    assert len(a.viewer.layers) == 2


# -- the part on screen -------------------------------------------------------------


def test_search_on_screen(automatic, backend):
    a = automatic()
    a.viewer.reset_view()
    a.search("screen")
    assert backend.searches[-1][1].region is None  # all of it is seen
    a.viewer.scene.camera.zoom *= 4
    a.state.where = "screen"
    a.search()
    x0, y0, x1, y1 = backend.searches[-1][1].region
    assert 0 < x0 < x1 < SHAPE[1]
    assert 0 < y0 < y1 < SHAPE[0]
    a.viewer.scene.camera.center = (1e6, 1e6)
    with pytest.raises(ImageError, match="not on screen"):
        a.search()


def test_script_without_a_window_needs_only_a_viewer():
    a = AutomaticController(ViewerModel())
    assert a.candidates == []
    assert isinstance(a.runner, JobRunner)
    done = []
    a.runner.submit(Job("x", lambda stop: iter([1]), done.append, lambda error: None))
    assert done == [1]


def test_the_frame_that_was_searched_is_named(automatic):
    a = automatic(np.zeros((4, *SHAPE)))
    a.viewer.dims.set_current_step(0, 1)
    a.search()
    a.viewer.dims.set_current_step(0, 3)
    assert a.state.status.startswith("5 candidates on frame 1: ")
    ids = a.add_to_labels()
    assert a.state.status == "Added 3 objects to 'SAM2 labels' on frame 1."
    assert set(np.unique(a.state.labels.data[1])) == {0, *ids}
    assert not a.state.labels.data[3].any()


def test_of_an_image_no_frame_is_named(automatic):
    a = automatic()
    a.search()
    assert a.state.status.startswith("5 candidates: ")
    a.add_to_labels()
    assert a.state.status == "Added 3 objects to 'SAM2 labels'."


def test_the_preview_moves_with_the_image(automatic):
    a = automatic()
    a.search()
    layer = a.preview.layer
    a.state.image.scale = (3, 2)
    a.state.image.translate = (7, 8)
    assert a.preview.layer is layer
    corner = np.array([4.0, 5.0])
    np.testing.assert_allclose(layer.data_to_world(corner), corner * (3, 2) + (7, 8))
