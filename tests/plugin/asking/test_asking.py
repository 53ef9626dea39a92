"""What a correction of a mask that the user has drawn changes, and what not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from scipy.ndimage import binary_erosion

from napari_sam2._controller import SegmentController
from napari_sam2._jobs import JobRunner, run_inline
from napari_sam2._masks import PackedMask
from napari_sam2._prompts import MaskPrompt, ObjectPrompts
from napari_sam2._sample_data import sample_nuclei
from napari_sam2._state import SegmentationState
from napari_sam2.asking._asking import answer, changed_about
from napari_sam2.demo import CLICKS_XY, FRAME
from napari_sam2.engine._backend import Sam2Backend
from napari_sam2.engine._engine import Engine

DRAWN = np.zeros((30, 40), bool)
DRAWN[10:20, 10:20] = True
FOUND = DRAWN.copy()
FOUND[12:16, 20:24] = True  # a piece more on the right
FOUND[16:20, 10:13] = False  # one less at the bottom left
FOUND[25:28, 30:34] = True  # one of its own


def asked(*points, labels=None, answers=None, **more):
    start = MaskPrompt(PackedMask.of(DRAWN), answers or ObjectPrompts())
    signs = (1,) * len(points) if labels is None else labels
    return ObjectPrompts(points_xy=points, point_labels=signs, start=start, **more)


@pytest.mark.parametrize(
    ("points", "boxes"),
    [
        ([(22.0, 14.0)], [(12, 16, 20, 24)]),
        ([(26.0, 14.0)], [(12, 16, 20, 24)]),  # beside it
        ([(28.0, 14.0)], []),  # too far
        ([(11.0, 18.0)], [(16, 20, 10, 13)]),
        ([(22.0, 14.0), (11.0, 18.0)], [(12, 16, 20, 24), (16, 20, 10, 13)]),
        ([(31.0, 26.0)], [(25, 28, 30, 34)]),
        ([(15.0, 15.0)], []),  # nothing differs there
    ],
)
def test_only_pieces_that_were_clicked_on_change(points, boxes):
    expected = DRAWN.copy()
    for top, bottom, left, right in boxes:
        expected[top:bottom, left:right] = FOUND[top:bottom, left:right]
    np.testing.assert_array_equal(changed_about(FOUND, asked(*points)), expected)


def test_an_outline_added_is_drawn_too():
    outline = ((30.0, 2.0), (35.0, 2.0), (35.0, 6.0), (30.0, 6.0))
    expected = DRAWN.copy()
    expected[2:7, 30:36] = True
    prompts = asked((15.0, 15.0), polygons_xy=(outline,))
    np.testing.assert_array_equal(changed_about(FOUND, prompts), expected)


@pytest.mark.parametrize(
    "prompts",
    [
        ObjectPrompts(points_xy=((28.0, 14.0),), point_labels=(1,)),
        asked((28.0, 14.0), box_xyxy=(8.0, 8.0, 25.0, 25.0)),
        asked(
            (5.0, 5.0),
            (28.0, 14.0),
            answers=ObjectPrompts(points_xy=((5.0, 5.0),), point_labels=(1,)),
        ),
    ],
    ids=["no mask", "a box says how far it reaches", "a mask of the model's"],
)
def test_other_answers_stand_as_they_are(prompts):
    np.testing.assert_array_equal(changed_about(FOUND, prompts), FOUND)


@pytest.mark.parametrize("first", [(), ((15.0, 15.0),)], ids=["by hand", "merged"])
def test_what_is_known_to_the_pixel_is_shown_as_it_is(first):
    """Sessions know large masks less finely."""
    told = []

    class Session:
        def add_prompts(self, index, object_id, mask):
            told.append(mask)
            return SimpleNamespace(masks={object_id: binary_erosion(mask)})

    clicked = ObjectPrompts(points_xy=first, point_labels=(1,) * len(first))
    outline = ((8.0, 12.0), (12.0, 12.0), (12.0, 16.0), (8.0, 16.0))
    prompts = asked(*first, answers=clicked, polygons_xy=(outline,))
    expected = DRAWN.copy()
    expected[12:17, 8:13] = True
    found, _ = answer(Session(), 0, 1, prompts, DRAWN.shape)
    np.testing.assert_array_equal(found, expected)
    ((followed),) = told
    np.testing.assert_array_equal(followed, expected)


def bundled(stack):
    """The bundled model with a click on a nucleus, in a stack or in one frame of it."""
    frames = np.asarray(sample_nuclei()[0][0])
    viewer, place = ViewerModel(), (FRAME,) if stack else ()
    viewer.add_image(frames if stack else frames[FRAME])
    if stack:
        viewer.dims.set_current_step(0, FRAME)
    engine, runner = Engine(Sam2Backend()), JobRunner(run_inline)
    controller = SegmentController(viewer, SegmentationState(), runner, engine)
    controller.choose_image(viewer.layers[0])
    x, y = next(iter(CLICKS_XY.values()))
    controller.add_point((*place, y, x))
    assert isinstance(controller.stage.labels, Labels)
    return controller, place


@pytest.mark.parametrize("stack", [False, True], ids=["image", "stack"])
def test_a_click_leaves_what_was_painted_and_erased(stack):
    """With the bundled model, which knows better where a nucleus ends."""
    controller, place = bundled(stack)
    labels = controller.stage.labels

    def shown():
        return np.asarray(labels.data[FRAME] if stack else labels.data) == 1

    found = shown()
    rows, columns = np.nonzero(found)
    left, right, low = columns.argmin(), columns.argmax(), rows.argmax()
    labels.brush_size = 12
    labels.paint((*place, rows[right], columns[right]), 1)
    labels.paint((*place, rows[left], columns[left]), 0)
    painted = shown()
    added, erased = painted & ~found, found & ~painted
    assert added.sum() > 20
    assert erased.sum() > 20
    controller.add_point((*place, rows[low], columns[low]))
    corrected = shown()
    assert (corrected != painted).any(), "answered"
    assert corrected[added].all()
    assert not corrected[erased].any()
    if stack:  # what is followed is what is shown
        controller.propagate("forward")
        np.testing.assert_array_equal(shown(), corrected)


def test_what_is_cut_off_a_clicked_mask_is_off_on_the_frames_that_follow():
    controller, (frame,) = bundled(stack=True)
    data = controller.stage.labels.data
    columns = np.nonzero(data[frame])[1]
    middle, (height, width) = int(np.median(columns)), data.shape[1:]
    low, far = height - 1, width - 1
    right = [(0, middle), (0, far), (low, far), (low, middle)]
    outline = [(frame, *corner) for corner in right]
    controller.add_shapes([outline], "polygon", positive=False)
    left = (data[frame] == 1).sum()
    assert 0 < left < len(columns)
    assert not data[frame, :, middle:].any()
    controller.state.update(start=frame, stop=frame + 2)
    controller.propagate("forward")
    for after in data[frame + 1 : frame + 3] == 1:
        assert after.any()
        assert after[:, middle:].sum() < 0.1 * len(columns)
