"""The mask under the cursor, and the answer that begins when a button is pressed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from fakes import disc

from napari_sam2._controller import SegmentController
from napari_sam2._jobs import JobRunner, run_inline
from napari_sam2._sample_data import sample_nuclei
from napari_sam2._state import SegmentationState
from napari_sam2.asking._messages import Choice, Loaded
from napari_sam2.demo import CLICKS_XY, FRAME
from napari_sam2.dock._ghost import NAME
from napari_sam2.dock._hover import Hover
from napari_sam2.engine._backend import Sam2Backend
from napari_sam2.engine._engine import Engine
from sam2_core.closeups.closeups import CloseUps

STACK = np.zeros((7, 40, 60), np.float32)
SHAPE = (40, 60)


@pytest.fixture
def hovering(tool):
    t = tool(STACK, scale=(4, 0.5, 0.5), translate=(8, 1, 2))
    t.viewer.dims.set_current_step(0, 3)
    t.hover = Hover(t)
    t.state.hover = True
    return t


def ghost(t):
    layers = [layer for layer in t.viewer.layers if layer.name == NAME]
    return layers[0] if layers and layers[0].visible else None


def test_preview_shows_what_a_click_would_give(hovering):
    t = hovering
    t.hover.look(t.state.image.data_to_world((3, 20, 30)))
    layer = ghost(t)
    np.testing.assert_array_equal(layer.data[0] > 0, disc(SHAPE, 30, 20))
    # The one plane of the preview lies on the frame it belongs to.
    np.testing.assert_allclose(
        layer.data_to_world((0, 20, 30)), t.state.image.data_to_world((3, 20, 30))
    )
    assert layer.get_color(1)[:3] == pytest.approx(t.stage.label_color(1)[:3])
    assert not t.stage.labels.data.any()
    assert len(t.stage.points.data) == 0
    assert not layer.data.flags.writeable  # not offered as labels to write into


def test_preview_is_gone_when_the_cursor_leaves_the_canvas(hovering):
    t = hovering
    t.viewer.mouse_over_canvas = True
    t.hover.look(t.state.image.data_to_world((3, 20, 30)))
    assert ghost(t) is not None
    t.viewer.mouse_over_canvas = False
    assert ghost(t) is None


@pytest.mark.parametrize(
    "place", [{"scale": (4, 2, 2)}, {"translate": (8, 5, 5)}, {"shear": (0, 0, 0.5)}]
)
def test_preview_lies_where_the_image_is_by_now(hovering, place):
    t, image = hovering, hovering.state.image
    t.hover.look(image.data_to_world((3, 20, 30)))
    for name, value in place.items():
        setattr(image, name, value)
    t.hover.hide()
    t.hover.look(image.data_to_world((3, 20, 30)))
    for corner in ((0, 0), (20, 30)):
        np.testing.assert_allclose(
            ghost(t).data_to_world((0, *corner)), image.data_to_world((3, *corner))
        )


def test_an_image_that_is_covered_is_not_previewed(hovering):
    t = hovering
    t.viewer.add_image(np.ones((40, 60)), scale=(0.5, 0.5), translate=(1, 2))
    t.hover.look(t.state.image.data_to_world((3, 20, 30)))
    assert ghost(t) is None


def test_preview_follows_the_cursor_and_hides(hovering):
    t = hovering
    t.hover.look(t.state.image.data_to_world((3, 20, 30)))
    t.hover.look(t.state.image.data_to_world((3, 10, 10)))
    np.testing.assert_array_equal(ghost(t).data[0] > 0, disc(SHAPE, 10, 10))
    t.hover.look((8, -50, -50))
    assert ghost(t) is None
    t.hover.look(t.state.image.data_to_world((3, 20, 30)))
    t.add_point((3, 20, 30))
    assert ghost(t) is None
    t.hover.look(t.state.image.data_to_world((3, 21, 30)))
    t.viewer.dims.set_current_step(0, 4)
    assert ghost(t) is None


def test_preview_is_on_by_itself_only_where_the_model_is_quick(hovering):
    t = hovering
    t.state.hover = None
    for took, on in ((None, False), (59.0, True), (61.0, False)):
        t.state.glimpse_ms = took
        assert t.hover.is_on == on
    t.hover.toggle()
    assert t.state.hover is True
    t.hover.toggle()
    assert t.state.hover is False


@pytest.mark.parametrize(("seconds", "on"), [(0.001, True), (0.08, False)])
def test_close_ups_are_timed_when_they_are_loaded(
    tool, backend, monkeypatch, seconds, on
):
    backend.delay = seconds
    load = backend.load_model

    def load_close_ups(*args, **kwargs):
        model = load(*args, **kwargs)
        model.config.closeups = True
        return model

    monkeypatch.setattr(backend, "load_model", load_close_ups)
    t = tool(STACK)  # of a stack nothing is encoded ahead
    t.viewer.dims.set_current_step(0, 3)
    t.hover = Hover(t)
    t.prepare()
    assert t.state.glimpse_ms >= 1000 * seconds
    assert t.hover.is_on == on
    assert not t.stage.labels.data.any()
    asked = backend.answers
    t.prepare()  # it is known by now
    assert backend.answers == asked
    t.stage.points.mode = "add"
    t.viewer.layers.selection.active = t.stage.points
    t.hover.on_move(
        t.viewer, SimpleNamespace(position=t.state.image.data_to_world((3, 20, 30)))
    )
    assert (ghost(t) is not None) == on


def test_other_models_are_not_kept_waiting_for_it(tool, backend):
    t = tool(STACK)
    t.prepare()
    assert backend.loaded
    assert backend.answers == 0
    t.state.glimpse_ms = 20.0  # of this model, not of the next
    t.choose_model("sam2.1_hiera_large")
    assert t.state.glimpse_ms is None


def test_the_bundled_model_knows_its_time_before_the_first_click():
    engine = Engine(Sam2Backend())
    choice = Choice("sam2_nano", "cpu")
    items = list(engine.prepare(choice, None, lambda: False))
    *_, before, after = [item for item in items if isinstance(item, Loaded)]
    assert before.glimpse_ms is None
    assert 1 < after.glimpse_ms < 5000


def test_preview_goes_with_the_dock(hovering):
    t = hovering
    t.hover.look(t.state.image.data_to_world((3, 20, 30)))
    t.hover.close()
    assert NAME not in t.viewer.layers
    assert t.hover.on_move not in t.viewer.mouse_move_callbacks
    assert t.hover.on_press not in t.viewer.mouse_drag_callbacks


# -- while the button is down ----------------------------------------------------------


def pressed(t, where, button=1):
    world = t.state.image.data_to_world(where)
    t.hover.on_press(t.viewer, SimpleNamespace(button=button, position=world))


@pytest.fixture
def pointing(hovering):
    t = hovering
    t.state.hover = False
    t.prepare()
    t.state.close_ups[t.state.model] = True
    t.viewer.layers.selection.active = t.stage.points
    t.stage.points.mode = "add"
    return t


def asked(t):
    """How many jobs were submitted since."""
    jobs, submit = [], t.runner.submit
    t.runner.submit = lambda job: (jobs.append(job), submit(job))
    return jobs


def test_a_press_asks_ahead_and_shows_nothing(pointing):
    t = pointing
    jobs, awaited = asked(t), []
    t.tasks.awaited.connect(awaited.append)
    pressed(t, (3, 20.25, 30.5))
    assert [job.kind for job in jobs] == ["hover"]
    assert awaited == [True, False]  # there, and nobody has let go of the button yet
    assert ghost(t) is None
    assert not t.stage.labels.data.any()
    assert len(t.stage.points.data) == 0


def test_a_press_that_makes_no_new_object_asks_nothing(pointing):
    t = pointing
    jobs = asked(t)
    pressed(t, (3, 20, 30), button=2)
    pressed(t, (3, -20, 30))
    t.set_polarity(False)
    pressed(t, (3, 20, 30))
    t.set_polarity(True)
    t.stage.points.mode = "pan_zoom"
    pressed(t, (3, 20, 30))
    t.stage.points.mode = "add"
    t.state.close_ups[t.state.model] = False  # it would be asked twice
    pressed(t, (3, 20, 30))
    t.state.close_ups[t.state.model] = True
    assert jobs == []
    t.add_point((3, 20, 30))
    jobs.clear()
    pressed(t, (3, 21, 30))  # a correction in a stack
    assert jobs == []
    t.state.each = True
    pressed(t, (3, 21, 30))
    assert len(jobs) == 1


@pytest.mark.parametrize("axis", [None, 0], ids=["planes", "stack"])
def test_the_click_finds_what_the_press_has_asked(axis, monkeypatch):
    from napari.components import ViewerModel

    ((data, *_),) = sample_nuclei()
    viewer = ViewerModel()
    state = SegmentationState(device="cpu")
    t = SegmentController(viewer, state, JobRunner(run_inline), Engine(Sam2Backend()))
    t.hover = Hover(t)
    t.choose_image(viewer.add_image(data[FRAME - 1 : FRAME + 1], name="nuclei"))
    t.choose_axis(axis)
    viewer.dims.set_current_step(0, 1)
    viewer.layers.selection.active = t.stage.points
    t.stage.points.mode = "add"
    windows, ask = [], CloseUps.ask

    def counted(self, questions, first=False):
        windows.extend(questions)
        return ask(self, questions, first)

    monkeypatch.setattr(CloseUps, "ask", counted)
    x, y = next(iter(CLICKS_XY.values()))
    given = t.stage.points
    # The object, then a correction of it; in stacks that is asked for when it is there.
    for spot in ((1, y + 0.3, x - 0.7), (1, y + 2.5, x))[: 2 if axis is None else 1]:
        pressed(t, spot)
        assert windows
        windows.clear()
        given.add(given.world_to_data(t.state.image.data_to_world(spot)))
        assert (t.stage.labels.data[1] == 1).sum() > 300
        assert windows == []
    assert len(given.data) == (2 if axis is None else 1)
