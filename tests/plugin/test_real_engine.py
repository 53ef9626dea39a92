"""The plugin's engine on the real network, with weights that know nothing."""

from __future__ import annotations

from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_sam2._controller import SegmentController
from napari_sam2._images import frames_of
from napari_sam2._jobs import JobRunner, run_inline
from napari_sam2._masks import PackedMask
from napari_sam2._prompts import Key, MaskPrompt, ObjectPrompts
from napari_sam2._sample_data import sample_nuclei
from napari_sam2._state import SegmentationState
from napari_sam2.asking._glimpses import Choices
from napari_sam2.asking._messages import Choice, Loaded, PlaneMasks, Took
from napari_sam2.automatic._search import Sam2SearchBackend, SearchOptions
from napari_sam2.demo import CLICKS_XY, FRAME
from napari_sam2.dock._lineage import LineageTools
from napari_sam2.dock._stacking import StackTools
from napari_sam2.engine._backend import Sam2Backend
from napari_sam2.engine._engine import Engine
from napari_sam2.following._following import Plan
from napari_sam2.history._history import History
from napari_sam2.history._record import Record
from napari_sam2.history._replay import Redo, apply, rerun
from napari_sam2.sessions._keeping import SessionKeeper
from napari_sam2.sessions._session_file import read_session
from sam2_core.errors import ImageError
from sam2_core.stacks.sweeps import SAME_FRAMES

CHOICE = Choice("sam2_nano", "cpu")
POINTS = ObjectPrompts(points_xy=((20.0, 10.0), (5.0, 30.0)), point_labels=(1, 0))
BOX = ObjectPrompts(box_xyxy=(4.0, 4.0, 20.0, 16.0))
OUTLINE = ObjectPrompts(
    points_xy=((30.0, 30.0),),
    point_labels=(1,),
    polygons_xy=(((20.0, 20.0), (40.0, 20.0), (40.0, 35.0), (20.0, 35.0)),),
)
NEGATIVE = ObjectPrompts(points_xy=((1.0, 1.0),), point_labels=(0,))


class Untrained(Sam2Backend):
    """Real classes, random weights."""

    model = None

    def load_model(self, name, device):
        import torch

        from sam2_core import build_model

        if Untrained.model is None:
            torch.manual_seed(0)
            Untrained.model = build_model(name).eval()
        return Untrained.model


@pytest.fixture
def engine():
    return Engine(Untrained())


def image(*shape):
    return Image(np.random.default_rng(0).random(shape))


def test_image_predictor_takes_every_kind_of_prompt(engine):
    frames = frames_of(image(40, 60), (0, 1), (), None)
    asks = {1: POINTS, 2: BOX, 3: OUTLINE}
    prompts = {Key((0, 1), (), i): ask for i, ask in asks.items()}
    items = list(
        engine.predict(CHOICE, frames, prompts, frozenset(prompts), lambda: False)
    )
    masks = [item for item in items if isinstance(item, PlaneMasks)]
    assert [list(m.prompts) for m in masks] == [[1], [2], [3]]
    assert all(m.ids.shape == (40, 60) for m in masks)


BLANK = {
    "constant": np.full((40, 60), 7.0),
    "not a number": np.full((40, 60), np.nan),
}


@pytest.mark.parametrize("what", BLANK)
def test_an_image_that_shows_nothing_is_refused(engine, what):
    frames = frames_of(Image(BLANK[what]), (0, 1), (), None)
    for ask in (POINTS, BOX):
        prompts = {Key((0, 1), (), 1): ask}
        with pytest.raises(ImageError, match="The image shows nothing to segment"):
            list(engine.predict(CHOICE, frames, prompts, frozenset(prompts), bool))
    prompts = {Key((0, 1), (), 1): OUTLINE}  # says what is meant by itself
    assert list(engine.predict(CHOICE, frames, prompts, frozenset(prompts), bool))


def test_an_object_in_a_corner_is_not_nothing(engine):
    data = np.zeros((200, 200))
    data[3:9, 180:190] = 1
    frames = frames_of(Image(data), (0, 1), (), None)
    prompts = {Key((0, 1), (), 1): ObjectPrompts(((185.0, 5.0),), (1,))}
    items = list(engine.predict(CHOICE, frames, prompts, frozenset(prompts), bool))
    assert any(isinstance(item, PlaneMasks) for item in items)


def test_a_blank_frame_is_followed_through_and_not_prompted(engine):
    data = np.random.default_rng(0).random((4, 40, 60))
    data[2] = 0.5
    frames = frames_of(Image(data), (1, 2), (0,), 0)
    blank, good = Key((1, 2), (2,), 1), Key((1, 2), (3,), 2)
    prompts = {blank: POINTS, good: POINTS}
    found = []
    items = engine.predict(CHOICE, frames, prompts, frozenset(prompts), bool)
    with pytest.raises(ImageError, match="Frame 2 shows nothing to segment"):
        found.extend(items)
    masks = [item for item in found if isinstance(item, PlaneMasks)]
    assert [item.position for item in masks] == [(3,)]  # the other is answered
    del prompts[blank]
    items = engine.propagate(CHOICE, frames, prompts, Plan(0, 3, "both"), bool)
    filled = {item.position for item in items if isinstance(item, PlaneMasks)}
    assert filled == {(0,), (1,), (2,), (3,)}


def test_a_search_of_an_image_that_shows_nothing_is_refused():
    options = SearchOptions(None, 4, 0)
    for data in BLANK.values():
        picture = frames_of(Image(data), (0, 1), (), None).frame(0)
        with pytest.raises(ImageError, match="The image shows nothing to segment"):
            Sam2SearchBackend().candidates(None, picture, options, print, bool)


def test_session_takes_every_kind_of_prompt_and_propagates(engine):
    frames = frames_of(image(4, 40, 60), (1, 2), (0,), 0)
    prompts = {
        Key((1, 2), (1,), 1): POINTS,
        Key((1, 2), (1,), 2): BOX,
        Key((1, 2), (2,), 3): OUTLINE,
        Key((1, 2), (0,), 1): NEGATIVE,
    }
    items = engine.predict(CHOICE, frames, prompts, frozenset(prompts), lambda: False)
    masks = [item for item in items if isinstance(item, PlaneMasks)]
    assert {(m.position, *m.prompts) for m in masks} == {
        (key.position, key.object_id) for key in prompts
    }
    inside = next(m for m in masks if 3 in m.prompts).ids
    assert inside.shape == (40, 60)
    del prompts[Key((1, 2), (0,), 1)], prompts[Key((1, 2), (1,), 2)]
    items = engine.propagate(CHOICE, frames, prompts, Plan(0, 2, "both"), lambda: False)
    filled = [item for item in items if isinstance(item, PlaneMasks)]
    assert {m.position for m in filled} == {(0,), (1,), (2,)}
    assert set().union(*(m.prompts for m in filled)) == {1, 3}


def test_a_session_is_repeated_to_the_pixel_with_what_the_model_remembers(tmp_path):
    """Undone propagations count: they change what a later correction starts from."""
    head = Untrained().load_model("sam2_nano", "cpu").sam_mask_decoder
    head.pred_obj_score_head.layers[-1].bias.data.fill_(20)  # else nothing is there
    viewer = ViewerModel()
    dock = SegmentController(
        viewer, SegmentationState(), JobRunner(run_inline), Engine(Untrained())
    )
    data = np.random.default_rng(3).random((4, 40, 60))
    dock.choose_image(viewer.add_image(data))
    keeper = SessionKeeper(dock, tmp_path / "autosaves")
    viewer.dims.set_current_step(0, 1)
    dock.add_point((20, 30))
    dock.propagate("both")
    dock.undo()
    viewer.dims.set_current_step(0, 2)
    dock.add_point((10, 40))  # on a frame the model has seen, and forgot to show
    dock.next_object()
    dock.add_shapes([[(5, 5), (5, 20), (15, 20), (15, 5)]])
    dock.propagate("both")
    labels = dock.stage.labels.data
    assert labels.any()
    session = read_session(keeper.save(tmp_path / "a"))
    array = np.zeros_like(labels)
    again = SimpleNamespace(data=array, name="labels")
    history = History(Record(session.journal))
    for item in rerun(session.journal, data, Engine(Untrained()), lambda: False):
        if isinstance(item, Redo):
            apply(item, again, history)
    np.testing.assert_array_equal(array, labels)


def test_a_correction_makes_few_frames_anew():
    """The bundled model on nuclei; how far a correction goes is the model's affair."""
    data = sample_nuclei()[0][0][4:34]
    viewer = ViewerModel()
    dock = SegmentController(
        viewer, SegmentationState(), JobRunner(run_inline), Engine(Sam2Backend())
    )
    tools = StackTools(dock)
    dock.choose_image(viewer.add_image(data, contrast_limits=(0, 200)))
    x, y = CLICKS_XY[1]
    viewer.dims.set_current_step(0, FRAME - 4)
    dock.add_point((y, x))
    dock.propagate("both")
    tools.controller.state.follow_corrections = True
    viewer.dims.set_current_step(0, FRAME - 2)
    dock.add_point((y + 3, x + 2))
    entries = [e for e in dock.history.record.journal.entries if e.do == "propagate"]
    whole, part = entries
    assert whole.computed == len(data)
    assert part.what["changes"]
    # All on one side of the correction, and a few on the other: from there on the
    # object is known by another frame, so that masks need not come out as before.
    beyond = len(data) - (FRAME - 2)
    assert 3 <= part.computed <= beyond + SAME_FRAMES + 1
    assert part.computed < len(data)


@pytest.mark.parametrize("frames", [0, 3])
def test_one_of_two_cells_under_one_label_is_boxed(frames):
    """As it is fixed after another tool has merged them; the bundled model."""
    rows, columns = np.mgrid[:80, :120]
    left, right = (
        (rows - 40) ** 2 + (columns - x) ** 2 < 14**2 for x in (45, 45 + 2 * 14 + 3)
    )
    noise = np.random.default_rng(0).normal(20, 4, (max(frames, 1), 80, 120))
    data = (noise + 150 * (left | right)).clip(0, 255).astype(np.uint8)
    data = data if frames else data[0]
    viewer = ViewerModel()
    dock = SegmentController(
        viewer, SegmentationState(), JobRunner(run_inline), Engine(Sam2Backend())
    )
    dock.choose_image(viewer.add_image(data))
    merged = np.zeros(data.shape, np.uint16)
    here = merged[1] if frames else merged
    here[left | right] = 5
    dock.choose_labels(viewer.add_labels(merged))
    if frames:
        viewer.dims.set_current_step(0, 1)
    dock.select_object(5)
    box = [(26, 31), (26, 59), (54, 59), (54, 31)]
    dock.add_shapes([[(1, *corner) for corner in box] if frames else box], "rectangle")
    assert ((here == 5) & left).sum() / ((here == 5) | left).sum() > 0.85
    if frames:
        dock.propagate("both")
        for plane in merged:
            assert ((plane == 5) & left).sum() / ((plane == 5) | left).sum() > 0.8


def test_candidates_and_previews_in_an_image_and_in_a_stack(engine):
    stack = image(4, 40, 60)
    click = ObjectPrompts(points_xy=((20.0, 10.0),), point_labels=(1,))
    for axis in (None, 0):
        frames = frames_of(stack, (1, 2), (2,), axis)
        key = Key((1, 2), (2,), 1)
        items = list(
            engine.predict(
                CHOICE, frames, {key: click}, frozenset([key]), lambda: False
            )
        )
        assert [item.device for item in items if isinstance(item, Loaded)] in (
            ["cpu"],
            [],
        )
        (took,) = [item for item in items if isinstance(item, Took)]
        assert took.milliseconds > 0
        (glimpse,) = engine.hover(CHOICE, frames, (2,), (20.0, 10.0), lambda: False)
        assert glimpse.mask.shape == (40, 60)
        found = [item for item in items if isinstance(item, Choices)]
        for choices in found:  # weights that know nothing may see but one thing
            best = choices.masks[choices.best].unpack()
            np.testing.assert_array_equal(best, glimpse.mask)


def test_no_preview_before_the_model_is_there(engine):
    frames = frames_of(image(40, 60), (0, 1), (), None)
    assert list(engine.hover(CHOICE, frames, (), (20.0, 10.0), lambda: False)) == []


def test_a_mask_to_start_from_needs_no_model(engine):
    frames = frames_of(image(40, 60), (0, 1), (), None)
    mask = np.zeros((40, 60), bool)
    mask[5:20, 5:30] = True
    key = Key((0, 1), (), 3)
    prompts = {key: ObjectPrompts(start=MaskPrompt(PackedMask.of(mask)))}
    items = engine.predict(CHOICE, frames, prompts, frozenset(prompts), lambda: False)
    (found,) = [item for item in items if isinstance(item, PlaneMasks)]
    np.testing.assert_array_equal(found.ids == 3, mask)


def test_of_large_frames_only_the_chunks_about_an_object_are_read():
    side, read = 2048, []
    rows, columns = np.ogrid[:side, :side]

    def load(block_info=None):
        t, row, column = block_info[None]["chunk-location"]
        read.append((t, (row, column)))
        frame = np.full((side, side), 20, np.uint8)
        frame[(rows - 900) ** 2 + (columns - 700 - 2 * t) ** 2 < 100] = 200
        place = (
            slice(512 * row, 512 * row + 512),
            slice(512 * column, 512 * column + 512),
        )
        return frame[None][:, *place]

    chunks = ((1,) * 5, (512,) * 4, (512,) * 4)
    lazy = da.map_blocks(load, chunks=chunks, dtype="u1", meta=np.empty((0,) * 3, "u1"))
    viewer = ViewerModel()
    dock = SegmentController(
        viewer, SegmentationState(), JobRunner(run_inline), Engine(Sam2Backend())
    )
    dock.choose_image(viewer.add_image(lazy, contrast_limits=(0, 255), rgb=False))
    viewer.dims.set_current_step(0, 2)
    dock.add_point((900, 704))
    read.clear()
    dock.propagate("both")
    assert {t for t, _ in read} == {0, 1, 3, 4}
    assert {place for _, place in read} == {(1, 1)}
    for t in range(5):
        truth = (rows - 900) ** 2 + (columns - 700 - 2 * t) ** 2 < 100
        found = dock.stage.labels.data[t] == 1
        assert (truth & found).sum() / (truth | found).sum() > 0.7


def test_the_daughter_of_a_dividing_cell_begins_at_the_division():
    rows, columns = np.mgrid[:80, :120]
    noise = np.random.default_rng(0).normal(20, 4, (8, 80, 120))
    for t, frame in enumerate(noise):
        apart, radius = (0, 14) if t < 4 else (13 + 2 * (t - 4), 10)
        for column in {60 - apart, 60 + apart}:
            frame[(rows - 40) ** 2 + (columns - column) ** 2 < radius**2] += 150
    stack = noise.clip(0, 255).astype(np.uint8)
    viewer = ViewerModel()
    tool = SegmentController(
        viewer, SegmentationState(), JobRunner(run_inline), Engine(Sam2Backend())
    )
    tools = StackTools(tool)
    tool.choose_image(viewer.add_image(stack))
    viewer.dims.set_current_step(0, 1)
    tool.add_point((40, 60))
    tool.propagate("both")
    labels = tool.stage.labels.data
    before = (labels == 1).sum((1, 2))
    goes_right = np.nonzero(labels[6] == 1)[1].mean() > 60
    viewer.dims.set_current_step(0, 5)
    tool.next_object()
    tool.add_point((40, 45 if goes_right else 75))
    tool.propagate("both")
    assert np.flatnonzero((labels == 2).any((1, 2))).tolist() == [4, 5, 6, 7]
    np.testing.assert_array_equal((labels == 1).sum((1, 2))[:4], before[:4])
    assert [suspect.key for suspect in LineageTools(tools).suspects()] == [(1, 4, 2)]
