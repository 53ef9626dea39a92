"""`SAM2VideoPredictor` with the calls of ultralytics."""

from __future__ import annotations

import numpy as np
import pytest
from micro import moving_disc

from sam2_core.compat.ultralytics import SAM2VideoPredictor
from sam2_core.errors import ImageError, PromptError, Sam2Error
from sam2_core.video import VideoSession

FRAMES = moving_disc(3)


def test_video_predictor_follows_the_prompts_of_the_first_frame(sam, network):
    predictor = SAM2VideoPredictor(
        overrides={"conf": 0.25, "task": "segment", "mode": "predict", "imgsz": 1024}
    )
    results = predictor(FRAMES, points=[[12, 20], [40, 8]], labels=[1, 1])
    session = VideoSession(network, FRAMES)
    session.add_prompts(0, 1, point_coords=[[12, 20]], point_labels=[1])
    session.add_prompts(0, 2, point_coords=[[40, 8]], point_labels=[1])
    wanted = list(session.propagate(direction="forward"))
    assert len(results) == len(wanted) == 3
    for result, found in zip(results, wanted, strict=True):
        frame = FRAMES[found.frame_index]
        np.testing.assert_array_equal(result.orig_img[..., ::-1], frame)
        ids = [i for i in (1, 2) if found.masks[i].any()]
        assert result.boxes.id.tolist() == ids
        assert result.boxes.cls.tolist() == [i - 1 for i in ids]
        for row, i in enumerate(ids):
            np.testing.assert_array_equal(result.masks.data[row], found.masks[i])
            assert float(result.boxes.conf[row]) == pytest.approx(found.scores[i])


def test_one_object_with_several_points_and_streaming(sam):
    predictor = SAM2VideoPredictor(overrides={"model": "sam2_nano"})
    results = predictor(
        FRAMES, stream=True, points=[[[12, 20], [40, 8]]], labels=[[1, 0]]
    )
    assert not isinstance(results, list)
    assert next(results).names == {0: "0"}


def test_misuse_of_the_video_predictor(sam):
    with pytest.raises(Sam2Error, match="no option"):
        SAM2VideoPredictor(overrides={"confidence": 0.5})
    predictor = SAM2VideoPredictor()
    with pytest.raises(ImageError, match="no video"):
        predictor(points=[12, 20])
    with pytest.raises(PromptError, match="first frame"):
        predictor(FRAMES)
    blank = np.where(np.arange(3)[:, None, None, None] == 0, np.uint8(9), FRAMES)
    with pytest.raises(ImageError, match="Frame 0 of the source shows"):
        predictor(blank, points=[12, 20])
    with pytest.raises(ImageError, match="no file"):
        predictor("absent.mp4", points=[12, 20])
