"""What goes wrong in practice: one sentence, and the work so far kept."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from fakes import FakeBackend, disc

from napari_sam2.asking._messages import Choice
from napari_sam2.asking._remedies import Remedy, remedies
from napari_sam2.dock._stacking import StackTools
from napari_sam2.engine._backend import Sam2Backend
from napari_sam2.engine._engine import Engine
from napari_sam2.history._history import History
from napari_sam2.history._record import Record
from napari_sam2.history._replay import Redo, apply, rerun
from napari_sam2.sessions._keeping import SessionKeeper
from napari_sam2.sessions._session_file import read_session
from sam2_core import InferenceError
from sam2_core.errors import OutOfMemoryError

SHAPE = (40, 60)
STACK = np.zeros((7, *SHAPE), np.float32)


def one_sentence(error):
    text = str(error)
    assert "\n" not in text
    assert "Traceback" not in text
    assert len(text) < 200
    return text


def filled(t):
    return np.flatnonzero(t.stage.labels.data.any((1, 2))).tolist()


def test_deleting_the_prompts_keeps_the_masks_and_their_session(tool, tmp_path):
    t = tool(STACK)
    keeper = SessionKeeper(t, tmp_path / "autosaves")
    t.add_point((3, 10, 20))
    t.propagate("both")
    before = t.stage.labels.data.copy()
    t.viewer.layers.remove(t.stage.points)
    t.viewer.layers.remove(t.stage.shapes)
    np.testing.assert_array_equal(t.stage.labels.data, before)
    t.select_object(2)
    t.add_point((3, 30, 40))
    labels = t.stage.labels.data
    np.testing.assert_array_equal(labels == 1, before == 1)
    assert (labels == 2).any()
    assert t.errors == []
    session = read_session(keeper.save(tmp_path / "a"))
    history = History(Record(session.journal))

    class Labels:
        name, data = "labels", np.zeros_like(labels)

    for item in rerun(session.journal, STACK, Engine(FakeBackend()), lambda: False):
        if isinstance(item, Redo):
            apply(item, Labels, history)
    np.testing.assert_array_equal(Labels.data, labels)


def test_deleting_the_labels_or_the_image_is_no_error(tool):
    t = tool(STACK)
    tools = StackTools(t)
    t.add_point((3, 10, 20))
    t.propagate("both")
    t.viewer.layers.remove(t.stage.labels)
    assert tools.line() == {}
    t.add_point((3, 12, 20))
    assert t.stage.labels.data[3, 12, 20] > 0
    labels = t.stage.labels
    t.viewer.layers.remove(t.stage.image)
    assert labels in t.viewer.layers
    assert tools.frames() is None
    assert t.errors == []


def test_renaming_every_layer_changes_nothing(tool, tmp_path):
    t = tool(STACK)
    keeper = SessionKeeper(t, tmp_path / "autosaves")
    t.add_point((3, 10, 20))
    for number, layer in enumerate(t.viewer.layers):
        layer.name = f"renamed {number}"
    t.add_point((3, 14, 20))
    t.propagate("both")
    assert filled(t) == list(range(7))
    keeper.load(keeper.save(tmp_path / "a"))
    assert filled(t) == list(range(7))
    assert t.errors == []


def test_switching_the_image_and_back_keeps_both(tool, tmp_path, backend):
    t = tool(STACK)
    tools = StackTools(t)
    keeper = SessionKeeper(t, tmp_path / "autosaves")
    first = t.stage.image
    t.add_point((3, 10, 20))

    def switch():
        if backend.answers == 5:
            backend.on_answer = lambda: None
            t.choose_image(second)

    second = t.viewer.add_image(np.ones((5, 30, 30), np.float32))
    backend.on_answer = switch
    t.propagate("forward")
    assert t.stage.image is second
    assert tools.line() == {}
    t.add_point((2, 10, 10))
    t.choose_image(first)
    done = filled(t)
    assert 3 in done
    assert len(done) < 4  # the propagation stopped, what was done stays
    assert set(tools.line()) == {1}
    t.propagate("both")
    assert filled(t) == list(range(7))
    assert keeper.describe().image.shape == STACK.shape
    assert t.errors == []


def test_two_viewers_do_not_know_of_each_other(tool):
    a, b = tool(STACK), tool(STACK.copy())
    a.add_point((3, 10, 20))
    b.add_point((2, 30, 40))
    b.select_object(9)
    a.propagate("both")
    assert a.state.object_id == 1
    assert filled(b) == [2]
    assert filled(a) == list(range(7))
    assert len(b.stage.points.data) == 1


def test_a_gpu_that_is_not_there_is_said_and_the_cpu_goes_on(tool):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")

    class Real(FakeBackend):
        def load_model(self, name, device):
            if device == "cuda":
                return Sam2Backend().load_model(name, device)
            return super().load_model(name, device)

    t = tool(STACK)
    t.tasks.engine = Engine(Real())
    t.add_point((3, 10, 20))
    t.choose_model(device="cuda")
    assert "cuda" in one_sentence(t.errors[-1])
    t.add_point((3, 14, 20))
    assert isinstance(t.errors[-1], InferenceError)
    assert t.stage.labels.data[3, 10, 20] == 1  # the mask so far
    assert len(t.stage.points.data) == 2
    t.choose_model(device="cpu")
    t.sync()
    expected = disc(SHAPE, 20, 10) | disc(SHAPE, 20, 14)
    np.testing.assert_array_equal(t.stage.labels.data[3] == 1, expected)


def test_out_of_memory_on_the_gpu_offers_what_needs_less(tool, backend):
    t = tool(STACK)
    t.choose_model("sam2.1_hiera_large", "cuda")
    offered = []
    keep = offered.append
    t.tasks.remedies_found.connect(keep)
    t.add_point((3, 10, 20))

    def fail():
        if backend.answers == 5:
            message = "CUDA out of memory. Tried to allocate 2.00 GiB.\nmore"
            raise RuntimeError(message)

    backend.on_answer = fail
    t.propagate("forward")
    assert isinstance(t.errors[-1], OutOfMemoryError)
    assert "memory" in one_sentence(t.errors[-1])
    assert filled(t) == [3, 4, 5]  # kept
    (preset, smaller, cpu) = offered[0]
    assert preset == Remedy("Fast preset", "sam2.1_hiera_large", "cuda", "fast")
    assert (smaller.model, smaller.device) == ("sam2.1_hiera_base_plus", "cuda")
    assert (cpu.model, cpu.device) == ("sam2.1_hiera_large", "cpu")
    backend.on_answer = lambda: None
    t.choose_model(smaller.model, smaller.device)
    t.propagate("forward")
    assert filled(t) == [3, 4, 5, 6]


def test_remedies_are_on_this_computer_and_smaller():
    official = ["sam2.1_hiera_tiny", "sam2.1_hiera_small", "sam2.1_hiera_base_plus"]
    found = remedies(Choice("sam2.1_hiera_large", "cuda"), official)
    assert next(r.model for r in found) == "sam2_hiera_base_plus"
    everything = [*official, "sam2_hiera_tiny", "sam2_hiera_small"]
    found = remedies(Choice("sam2_hiera_base_plus", "cpu"), everything)
    assert [r.model for r in found] == ["sam2_nano"]
    assert remedies(Choice("sam2_nano", "cpu"), [], following=True) == []


def test_presets_are_offered_where_they_help():
    def offered(model, preset, following=True):
        found = remedies(Choice(model, "cuda", preset), [], following)
        return [r.preset for r in found if r.text.endswith("preset")]

    tiny = "sam2.1_hiera_tiny"
    assert [offered(tiny, p) for p in ("best", "balanced", "", "fast")] == [
        ["balanced"],
        ["fast"],
        ["fast"],
        [],
    ]
    assert offered(tiny, "", following=False) == []
    assert offered("sam2_nano", "") == []
    # Whoever goes on with another model keeps the preset.
    found = remedies(Choice(tiny, "cuda", "balanced"), [], following=True)
    assert [r.preset for r in found] == ["fast", "balanced", "balanced"]


def broken_stack(length, bad):
    """A dask stack of which one frame cannot be read."""

    def load(block_id):
        if block_id[0] == bad:
            raise OSError("disk failure at sector 7\ndetails")
        return np.full((1, 20, 30), block_id[0] % 200, np.uint8)

    return da.map_blocks(
        lambda block_id=None: load(block_id),
        dtype=np.uint8,
        chunks=((1,) * length, (20,), (30,)),
        meta=np.empty((0, 0, 0), np.uint8),
    )


def test_a_long_dask_stack_that_breaks_in_the_middle(tool, tmp_path):
    t = tool(broken_stack(10_000, 5000), contrast_limits=(0, 255))
    keeper = SessionKeeper(t, tmp_path / "autosaves")
    tools = StackTools(t)
    t.viewer.dims.set_current_step(0, 4990)
    t.add_point((10, 12))
    # Reading the frame fails in the model, as the real session reads every frame.
    found = t.tasks.engine.backend.session

    def reading(model, frames):
        session = found(model, frames)
        propagate = session.propagate

        def read_first(start, stop, direction, **others):
            for result in propagate(start, stop, direction, **others):
                frames.frame(result.frame_index)
                yield result

        session.propagate = read_first
        return session

    t.tasks.engine.backend.session = reading
    t.tasks.engine.close()
    t.propagate("forward", 4990, 5010)
    text = one_sentence(t.errors[-1])
    assert "Frame 5000" in text
    assert "disk failure" in text
    assert filled(t) == list(range(4990, 5000))
    assert set(tools.line()[1]) == set(range(4990, 5000))
    assert keeper.describe().journal.entries[-1].written == 10
    t.errors.clear()
    t.propagate("backward", 4985, 5010)
    assert t.errors == []
    assert filled(t) == list(range(4985, 5000))
