"""Habits of the video predictor of the `sam2` package."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from micro import micro_model, moving_disc
from PIL import Image

from sam2_core.compat import (
    SAM2VideoPredictor,
)
from sam2_core.errors import ImageError, PromptError

HW = (40, 56)
FRAMES = moving_disc(5)


@pytest.fixture(scope="module")
def model():
    return micro_model()


@pytest.fixture
def video(model):
    predictor = SAM2VideoPredictor(model)
    return predictor, predictor.init_state(FRAMES)


def test_outputs_of_the_video_predictor(video):
    predictor, state = video
    frame, ids, logits = predictor.add_new_points_or_box(
        state, frame_idx=0, obj_id=3, points=[[12, 20]], labels=[1]
    )
    assert (frame, ids) == (0, [3])
    assert isinstance(logits, torch.Tensor)
    assert logits.shape == (1, 1, *HW)
    _, ids, logits = predictor.add_new_mask(state, 2, 1, np.ones(HW, bool))
    assert ids == [3, 1]
    assert (logits[0] == -1024).all()
    order = [frame for frame, _, _ in predictor.propagate_in_video(state)]
    assert order == [0, 1, 2, 3, 4]
    assert state["num_frames"] == 5
    assert (state["video_height"], state["video_width"]) == HW


@pytest.mark.parametrize(
    ("arguments", "order"),
    [
        ({"max_frame_num_to_track": 1}, [2, 3]),
        ({"start_frame_idx": 3}, [3, 4]),
        ({"reverse": True}, [2, 1, 0]),
        ({"reverse": True, "start_frame_idx": 0}, []),
        (
            {"reverse": True, "start_frame_idx": 4, "max_frame_num_to_track": 2},
            [4, 3, 2],
        ),
    ],
)
def test_order_of_frames(video, arguments, order):
    predictor, state = video
    predictor.add_new_points_or_box(state, 2, 1, [[12, 20]], [1])
    found = [frame for frame, _, _ in predictor.propagate_in_video(state, **arguments)]
    assert found == order


def test_tensors_and_normalised_points(video):
    predictor, state = video
    _, _, pixels = predictor.add_new_points_or_box(state, 0, 1, [[14, 20]], [1])
    predictor.reset_state(state)
    _, _, scaled = predictor.add_new_points_or_box(
        state,
        0,
        1,
        torch.tensor([[0.25, 0.5]]),
        torch.tensor([1]),
        normalize_coords=False,
    )
    assert torch.allclose(pixels, scaled, atol=1e-3)


def test_corrections_are_forgotten_unless_asked():
    changed = []
    for stays in (False, True):
        predictor = SAM2VideoPredictor(micro_model(all_corrections_condition=stays))
        state = predictor.init_state(FRAMES)
        predictor.add_new_points_or_box(state, 0, 1, [[12, 20]], [1])
        before = {f: m for f, _, m in predictor.propagate_in_video(state)}
        predictor.add_new_points_or_box(state, 3, 1, box=[2, 2, 30, 30])
        after = {f: m for f, _, m in predictor.propagate_in_video(state)}
        changed.append(bool((before[3] - after[3]).abs().max() > 1e-3))
    assert changed == [False, True]


def test_removing_objects(video):
    predictor, state = video
    predictor.add_new_points_or_box(state, 0, 1, [[12, 20]], [1])
    predictor.add_new_points_or_box(state, 0, 2, [[40, 20]], [1])
    ids, updated = predictor.remove_object(state, 1)
    assert ids == [2]
    assert [frame for frame, _ in updated] == [0]
    assert updated[0][1].shape == (1, 1, *HW)
    assert predictor.remove_object(state, 9) == ([2], [])
    with pytest.raises(PromptError, match="no object 9"):
        predictor.remove_object(state, 9, strict=True)
    assert predictor.remove_object(state, 2) == ([], [])
    with pytest.raises(PromptError, match="No object"):
        next(predictor.propagate_in_video(state))


def test_clearing_a_frame(video):
    predictor, state = video
    predictor.add_new_points_or_box(state, 0, 1, [[12, 20]], [1])
    _, ids, logits = predictor.clear_all_prompts_in_frame(state, 0, 1)
    assert ids == [1]
    assert (logits == -1024).all()
    with pytest.raises(PromptError, match="Object 1 has no prompt"):
        next(predictor.propagate_in_video(state))


def test_an_object_without_prompts_can_be_prompted_where_it_was_tracked(video):
    predictor, state = video
    predictor.add_new_points_or_box(state, 0, 1, [[12, 20]], [1])
    list(predictor.propagate_in_video(state))
    predictor.clear_all_prompts_in_frame(state, 0, 1)
    with pytest.raises(PromptError, match="Object 1 has no prompt"):
        next(predictor.propagate_in_video(state))
    predictor.add_new_points_or_box(state, 3, 1, [[24, 20]], [1])
    assert [f for f, _, _ in predictor.propagate_in_video(state)] == [3, 4]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "no prompt"),
        ({"points": [[1, 1]]}, "together"),
        ({"box": [1, 1, 4, 4], "clear_old_points": False}, "box"),
        ({"points": [[1, 1]], "labels": [1], "frame_idx": 5}, "no frame 5"),
    ],
)
def test_misuse_of_the_video_predictor(video, arguments, message):
    predictor, state = video
    with pytest.raises(PromptError, match=message):
        predictor.add_new_points_or_box(
            state, **{"frame_idx": 0, "obj_id": 1, **arguments}
        )
    with pytest.raises(PromptError, match="height"):
        predictor.add_new_mask(state, 0, 1, np.ones((1, *HW)))
    assert state["obj_ids"] == []


def test_a_folder_of_numbered_pictures(model, tmp_path):
    for i, frame in enumerate(FRAMES):
        Image.fromarray(frame).save(tmp_path / f"{i * 5}.png")
    (tmp_path / "notes.txt").write_text("not a frame")
    predictor = SAM2VideoPredictor(model)
    state = predictor.init_state(str(tmp_path))
    assert state.num_frames == 5
    for i, frame in enumerate(FRAMES):
        np.testing.assert_array_equal(state.frames.frame(i), frame)


def test_folders_that_are_no_videos(model, tmp_path):
    predictor = SAM2VideoPredictor(model)
    with pytest.raises(ImageError, match="no JPEG"):
        predictor.init_state(tmp_path)
    (tmp_path / "0.jpg").write_bytes(b"not a picture")
    with pytest.raises(ImageError, match="cannot be read"):
        predictor.init_state(tmp_path)
    (tmp_path / "0.jpg").rename(tmp_path / "first.jpg")
    with pytest.raises(ImageError, match="named by number"):
        predictor.init_state(tmp_path)
