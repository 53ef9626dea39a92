"""The training loop on a handful of drawn cells."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from sam2_core.config import NANO
from sam2_core.nn.sam2 import Sam2
from sam2_core.training.examples.batches import ClipBatches, ImageBatches, jittered_box
from sam2_core.training.examples.dense import dense_targets
from sam2_core.training.examples.samples import ClipSampler, CropSampler
from sam2_core.training.generator.synthetic import generate_pool
from sam2_core.training.generator.synthetic_stacks import generate_stack_pool
from sam2_core.training.learning.initialisation import initialise
from sam2_core.training.learning.trainer import Schedule, Trainer


def make_model() -> Sam2:
    torch.manual_seed(0)
    model = Sam2(replace(NANO, closeups=False))
    initialise(model)
    return model


def make_batches():
    images = generate_pool(2, size=128, seed=0)
    stacks = generate_stack_pool(2, size=128, length=4, seed=0)
    return (
        iter(ImageBatches(CropSampler(images, 128), 1, 3, 0)),
        iter(ClipBatches(ClipSampler(stacks, size=128, length=3), 2, 0)),
    )


@pytest.mark.slow
def test_every_kind_of_step_trains_and_a_stopped_run_goes_on(tmp_path):
    schedule = Schedule(steps=6, dense_steps=1, clip_from=2, big_from=99, warmup=1)
    images, clips = make_batches()
    trainer = Trainer(make_model(), replace(schedule, steps=4), tmp_path, seed=0)
    before = {k: v.clone() for k, v in trainer.model.state_dict().items()}
    trainer.run(images, None, clips)
    changed = {
        k.split(".")[0]
        for k, v in trainer.model.state_dict().items()
        if not torch.equal(v, before[k])
    }
    assert {"image_encoder", "sam_mask_decoder", "memory_attention"} <= changed
    assert all(torch.isfinite(v).all() for v in trainer.model.state_dict().values())

    resumed = Trainer(make_model(), schedule, tmp_path, seed=0)
    assert resumed.step == 4
    for key, value in trainer.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[key]), key
    resumed.run(images, None, clips)
    lines = (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    log = [json.loads(line) for line in lines]
    assert [entry["step"] for entry in log] == list(range(6))
    assert [entry["kind"] for entry in log] == ["image"] * 2 + ["clip"] + [
        "image"
    ] * 2 + ["clip"]


def test_learning_rate_rises_then_falls():
    schedule = Schedule(steps=100, warmup=10, lr=1.0)
    assert schedule.lr_at(0) == pytest.approx(0.1)
    assert schedule.lr_at(10) == pytest.approx(1.0)
    assert schedule.lr_at(100) == pytest.approx(0.02)


def test_queries_and_keys_of_prompt_attention_start_equal():
    attention = make_model().sam_mask_decoder.transformer.final_attn_token_to_image
    assert torch.equal(attention.q_proj.weight, attention.k_proj.weight)


def test_boxes_stay_in_the_image_and_keep_an_area():
    mask = np.zeros((40, 60), bool)
    mask[0:2, 57:60] = True
    rng = np.random.default_rng(0)
    boxes = np.array([jittered_box(rng, mask) for _ in range(200)])
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert boxes[:, 0].min() >= 0
    assert boxes[:, 0].max() <= 59
    assert np.abs(boxes - [57, 0, 59, 1]).max() < 5


def test_dense_targets_point_to_the_centre():
    labels = np.zeros((32, 32), np.int32)
    labels[8:17, 12:21] = 3  # centre at row 12, column 16
    targets = dense_targets(labels, partial=False)
    # Cell (2, 3) is sampled at row 10, column 14.
    assert targets.offset[:, 2, 3] * 32 == pytest.approx([2, 2])
    assert targets.foreground[3, 4] == 1
    assert targets.known.all()
    assert not dense_targets(labels, partial=True).known[0, 0]
