"""Presets and other input sizes, by what they change and what they leave alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from micro import micro_model, moving_disc

from sam2_core import PromptError, VideoSession, build_model
from sam2_core.image import ImagePredictor
from sam2_core.presets import PRESETS, Preset, with_image_size, with_preset


def test_best_is_what_official_models_were_trained_for():
    config = build_model("sam2.1_hiera_tiny").config
    best = PRESETS["best"]
    assert (best.image_size, best.tracked_memories) == (config.image_size, 6)
    assert config.memories_read == 6


def test_each_is_at_most_as_costly_as_the_one_before():
    rows = list(PRESETS.values())
    for more, less in pairwise(rows):
        assert less.image_size <= more.image_size
        assert less.tracked_memories <= more.tracked_memories


def test_the_weights_are_shared_and_the_given_model_is_unchanged(monkeypatch):
    monkeypatch.setitem(PRESETS, "fast", Preset(64, 2, "auto"))
    model = micro_model()
    other = with_preset(model, "fast")
    assert (model.config.image_size, model.config.memories_read) == (128, 6)
    assert model.sam_prompt_encoder.image_size == 128
    assert (other.config.image_size, other.config.memories_read) == (64, 2)
    assert (other.sam_prompt_encoder.image_size, other.config.grid_size) == (64, 4)
    pairs = zip(model.parameters(), other.parameters(), strict=True)
    assert all(one.data_ptr() == another.data_ptr() for one, another in pairs)


@pytest.mark.parametrize("name", list(PRESETS))
def test_small_models_stay_as_they_are(name):
    model = micro_model()  # 128 pixels, less than any preset's
    assert with_preset(model, name).config.image_size == 128


def test_fewer_frames_are_read_again(monkeypatch):
    from sam2_core.stacks import tracking

    monkeypatch.setitem(PRESETS, "fast", Preset(64, 2, "auto"))
    seen = []
    look = tracking.look

    def spy(model, features, recollections):
        seen.extend([code for code, _ in known.spatial] for known in recollections)
        return look(model, features, recollections)

    monkeypatch.setattr(tracking, "look", spy)
    session = VideoSession(micro_model(), moving_disc(6), preset="fast")
    session.add_prompts(0, 1, point_coords=[(12, 20)])
    found = list(session.propagate())
    assert [result.frame_index for result in found] == list(range(6))
    # Codes: 6 for the prompted frame, else frames back, less one.
    assert [sorted(codes) for codes in seen] == [[6], [0, 6], *[[0, 1, 6]] * 3]
    assert session.frame_features(0).embedding.shape[-2:] == (4, 4)
    kept = session._objects[1].bank.tracked
    assert sum(memory.spatial is not None for memory in kept.values()) <= 3


def test_an_image_at_half_the_size_gives_masks_of_the_image():
    predictor = ImagePredictor(with_image_size(micro_model(), 64))
    predictor.set_image(moving_disc(1)[0])
    prediction = predictor.predict([(12, 20)], [1])
    assert prediction.masks.shape == (3, 40, 56)
    assert prediction.logits.shape[-2:] == (16, 16)
    assert np.isfinite(prediction.scores).all()


def test_points_scale_with_the_input():
    model = micro_model()
    half = with_image_size(model, 64)
    labels = torch.ones(1, 1, dtype=torch.int32)
    # Pixel centres: 31.5 of 128 lies where 15.5 of 64 does.
    one = model.sam_prompt_encoder.points(torch.full((1, 1, 2), 31.5), labels)
    other = half.sam_prompt_encoder.points(torch.full((1, 1, 2), 15.5), labels)
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("size", [0, -32, 100])
def test_sizes_that_make_no_sense(size):
    with pytest.raises(PromptError, match="multiple of 32"):
        with_image_size(micro_model(), size)


def test_unknown_names():
    with pytest.raises(PromptError, match="best, balanced, fast"):
        VideoSession(micro_model(), moving_disc(2), preset="fastest")
