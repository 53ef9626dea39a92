"""What a GPU computes is what a CPU computes; skipped where there is none.

Parity with the original on a GPU is tested by the recordings, see `golden.py`.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from micro import micro_model

from sam2_core import transforms
from sam2_core.automatic import AutomaticMaskGenerator
from sam2_core.compiling import compile_parts
from sam2_core.errors import OutOfMemoryError
from sam2_core.image import ImagePredictor
from sam2_core.inference import inference
from sam2_core.label_files import combine_masks
from sam2_core.models import load_model
from sam2_core.training.dataset import LabelledImage
from sam2_core.training.examples.object_windows import ObjectWindows
from sam2_core.training.learning.closeup_trainer import CloseUpTrainer, train
from sam2_core.training.learning.tuning import Tuner, TuningPlan
from sam2_core.video import VideoSession

GPU = "cuda"
pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs an NVIDIA GPU"
)
SAMPLES = Path(__file__).parents[2] / "napari_sam2" / "samples"
CELLS = [(66, 64), (107, 62), (198, 112), (169, 162)]  # xy in slice 20 of the sample


@pytest.fixture(scope="module", autouse=True)
def _plain_float32():
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture(scope="module")
def stack():
    return np.asarray(tifffile.imread(SAMPLES / "cells3d_nuclei.tif"))


def nano(device, dtype="float32"):
    return load_model("sam2_nano", device=device, dtype=dtype)


def iou(a, b):
    union = (a | b).sum()
    return (a & b).sum() / union if union else 1.0


def clicked(model, image):
    """Best masks of clicks, corrected clicks, boxes and earlier masks."""
    predictor = ImagePredictor(model)
    predictor.set_image(image)
    found = []
    for x, y in CELLS:
        first = predictor.predict([(x, y)], [1])
        best = first.scores.argmax()
        found.append(first.masks[best])
        again = predictor.predict(
            [(x, y), (x + 40, y)], [1, 0], mask_input=first.logits[best][None]
        )
        found.append(again.masks[again.scores.argmax()])
        box = (x - 18, y - 18, x + 18, y + 18)
        found.append(predictor.predict(box=box, multimask_output=False).masks[0])
    boxes = [(x - 18, y - 18, x + 18, y + 18) for x, y in CELLS]
    found += list(predictor.predict(box=boxes, multimask_output=False).masks[:, 0])
    return found


@pytest.mark.parametrize(("dtype", "least"), [("float32", 0.99), ("auto", 0.9)])
def test_clicks_boxes_and_masks(stack, dtype, least):
    expected = clicked(nano("cpu"), stack[20])
    ious = [
        iou(a, b)
        for a, b in zip(clicked(nano(GPU, dtype), stack[20]), expected, strict=True)
    ]
    assert np.mean(ious) > least, ious


def followed(model, frames, **options):
    """Label stacks after a first run and after a correction."""
    session = VideoSession(model, frames, **options)
    side = frames.shape[-1]
    labels = np.zeros(frames.shape, np.uint16)
    for number, (x, y) in enumerate(CELLS, 1):
        at = [(x * side / 256, y * side / 256)]
        session.add_prompts(4, number, point_coords=at, point_labels=[1])
    for result in session.propagate():
        labels[result.frame_index] = combine_masks(result.masks, session.shape)
    first = labels.copy()
    session.add_prompts(6, 1, point_coords=at, point_labels=[0])
    for result in session.propagate(only_changed=True):
        plane = labels[result.frame_index]
        plane[plane == 1] = 0
        plane[result.masks[1]] = 1
    return first, labels


@pytest.mark.parametrize("options", [{}, {"scope": "local"}])
def test_objects_followed_and_corrected(stack, options):
    frames = stack[16:26]
    here, there = (followed(nano(d), frames, **options) for d in ("cpu", GPU))
    for expected, found in zip(here, there, strict=True):
        for number in range(1, len(CELLS) + 1):
            assert iou(found == number, expected == number) > 0.97, number


@pytest.mark.parametrize("options", [{}, {"scope": "local"}, {"spill": True}])
def test_objects_followed_by_memories(options, tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (8, 96, 96), np.uint8)
    if options.get("spill"):
        options = {"spill": tmp_path, "cache_bytes": 1}
    here, there = (
        followed(micro_model().to(d), frames, **options) for d in ("cpu", GPU)
    )
    for expected, found in zip(here, there, strict=True):
        assert (found != expected).mean() < 0.01


def test_frames_are_resized_as_on_a_cpu(stack):
    frame = np.repeat(stack[20, ..., None], 3, -1).astype(np.uint8)
    here, there = (
        transforms.frame_to_input(frame, 512, torch.device(d)).cpu()
        for d in ("cpu", GPU)
    )
    assert (here - there).abs().max() < 0.02  # a grey level is 0.017
    assert (here != there).float().mean() < 0.01


def test_everything(stack):
    counts = []
    labels = []
    for device in ("cpu", GPU):
        found = AutomaticMaskGenerator(nano(device)).generate(stack[20])
        counts.append(len(found))
        labels.append(np.any([m["segmentation"] for m in found], 0))
    assert abs(counts[0] - counts[1]) <= 1
    assert iou(*labels) > 0.97


def test_everything_on_a_grid():
    image = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    here, there = (
        AutomaticMaskGenerator(
            micro_model().to(d),
            points_per_side=4,
            pred_iou_thresh=0.0,
            stability_score_thresh=0.0,
        ).generate(image)
        for d in ("cpu", GPU)
    )
    assert len(here) == len(there) > 0


def test_compiled_parts_give_the_same(stack):
    expected = clicked(nano(GPU), stack[20])
    model = nano(GPU)
    parts = compile_parts(model)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="torch.compile is not used")
        found = clicked(model, stack[20])
    assert not any(part.gave_up for part in parts.values())
    assert np.mean([iou(a, b) for a, b in zip(found, expected, strict=True)]) > 0.99


def test_too_little_memory_is_one_sentence():
    with pytest.raises(OutOfMemoryError, match="smaller model"), inference():
        torch.empty(2**50, dtype=torch.uint8, device=GPU)


@pytest.fixture(scope="module")
def disc():
    rows, columns = np.mgrid[:120, :120]
    labels = np.zeros((120, 120), np.int32)
    discs = (30, 30, 15), (80, 40, 15), (60, 90, 25)
    for number, (y, x, radius) in enumerate(discs, 1):
        labels[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = number
    image = np.where(labels > 0, 200, 40).astype(np.uint8)
    return LabelledImage("a", "disc", image, labels)


def test_close_ups_learn(disc, tmp_path):
    windows = ObjectWindows([disc], [], 16, seed=0)
    rng = np.random.default_rng(0)
    batches = [windows.draw(rng, fine=i == 2) for i in range(4)]
    trainers = [
        CloseUpTrainer(tmp_path / d, 60, 1e-3, 0, device=d) for d in ("cpu", GPU)
    ]
    for trainer in trainers:
        with pytest.raises(StopIteration):
            train([trainer], iter(batches))
        trainer.save()
    before, after = (t.average.to("cpu").state_dict() for t in trainers)
    moved = sum(float((after[k] - v).abs().sum()) for k, v in before.items())
    size = sum(float(v.abs().sum()) for v in before.values())
    assert trainers[1].step == 4
    assert moved < 0.2 * size
    again = CloseUpTrainer(tmp_path / GPU, 60, 1e-3, 0, device=GPU)
    assert again.step == 4


def test_a_model_is_tuned(disc):
    model = micro_model().to(GPU)
    tuner = Tuner(model, [disc], [], TuningPlan(steps=3, objects=2, checks=1))
    ious = iter([0.1, 0.5])
    assert tuner.run(lambda: next(ious)).step == 3


def test_close_ups_are_tuned(disc):
    model = nano(GPU)
    tuner = Tuner(model, [disc], [], TuningPlan(steps=2, batch=8, checks=1))
    ious = iter([0.1, 0.5])
    assert tuner.run(lambda: next(ious)).step == 2
