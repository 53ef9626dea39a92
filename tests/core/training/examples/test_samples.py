from __future__ import annotations

import numpy as np
import pytest

from sam2_core.errors import ImageError
from sam2_core.training.dataset import LabelledImage, LabelledStack, object_table
from sam2_core.training.examples.augment import Warp
from sam2_core.training.examples.framing import visible_objects
from sam2_core.training.examples.samples import (
    ClipSampler,
    CropSampler,
    axis_views,
    set_shares,
)

PLACES = [(30, 40, 8), (90, 60, 20), (60, 110, 5), (120, 130, 14)]


def discs(size: int = 160, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:size, :size] + 0.5
    labels = np.zeros((size, size), np.int16)
    for number, (y, x, radius) in enumerate(PLACES, 1):
        labels[np.hypot(rows - y - shift, columns - x) < radius] = number * 10
    image = np.where(labels > 0, 220, 20).astype(np.uint8)
    return image, labels


@pytest.fixture(scope="module")
def image() -> LabelledImage:
    return LabelledImage("discs/0", "discs", *discs())


@pytest.fixture(scope="module")
def stack() -> LabelledStack:
    frames = [discs(shift=3 * t) for t in range(10)]
    images, labels = (np.stack(parts) for parts in zip(*frames, strict=True))
    labels[4][labels[4] == 20] = 0
    return LabelledStack("moving", "moving", images, labels, axis="t")


def test_crop_labels_lie_on_the_discs(image: LabelledImage) -> None:
    sampler = CropSampler([image], size=128, seed=3)
    good = []
    for _ in range(25):
        crop = sampler.sample()
        assert crop.image.shape == (128, 128, 3)
        assert crop.image.dtype == np.uint8
        assert crop.labels.dtype == np.int32
        assert set(np.unique(crop.labels)) <= {0, 10, 20, 30, 40}
        assert set(crop.candidates) <= set(np.unique(crop.labels)) - {0}
        grey = crop.image.astype(float).max(2)
        inside = crop.labels > 0
        if 200 < inside.sum() < 0.9 * inside.size:
            middle = (grey[inside].mean() + grey[~inside].mean()) / 2
            bright = grey[inside].mean() > grey[~inside].mean()
            good.append((((grey > middle) == bright) == inside).mean())
    assert np.mean(np.array(good) > 0.9) > 0.8


def test_crop_window_is_on_the_grid(image: LabelledImage) -> None:
    sampler = CropSampler([image], size=256)
    windows = np.array([sampler.sample().window for _ in range(30)])
    assert (windows[:, :2] % 32 == 0).all()
    assert windows[:, :2].min() >= 0
    assert 128 < windows[:, :2].max() <= 256
    assert (windows[:, 2] == 512).all()
    assert CropSampler([image], size=512).sample().window == (0, 0, 512)


def test_objects_of_all_sizes_fill_crops_differently(image: LabelledImage) -> None:
    sampler = CropSampler([image], size=128, seed=1, native_fraction=0.0)
    seen = {int(label) for _ in range(60) for label in sampler.sample().candidates}
    assert seen == {10, 20, 30, 40}


def test_same_seed_same_crops(image: LabelledImage) -> None:
    first, second = CropSampler([image], seed=5), CropSampler([image], seed=5)
    for _ in range(4):
        a, b = first.sample(), second.sample()
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.labels, b.labels)
        assert a.window == b.window


def test_hardly_visible_objects_are_no_candidates() -> None:
    labels = np.zeros((100, 100), np.int32)
    labels[10:30, 10:30] = 1
    labels[60:80, 60:80] = 2
    labels[50:53, 50:53] = 3
    table = object_table(labels)
    shifted = np.zeros((64, 64), np.int32)
    shifted[:] = labels[26:90, 16:80]
    visible = visible_objects(shifted, table, Warp((58, 48), np.eye(2), 64))
    assert visible.tolist() == [2]
    assert {1, 3} <= set(np.unique(shifted))


def test_half_visible_object_is_a_candidate_at_every_scale() -> None:
    labels = np.zeros((100, 100), np.int32)
    labels[10:30, 10:30] = 1
    part = np.zeros((40, 40), np.int32)
    part[:20, :40] = 1
    warp = Warp((30.0, 20.0), np.eye(2) / 2, 40)
    assert visible_objects(part, object_table(labels), warp).tolist() == [1]
    part[4:] = 0
    assert visible_objects(part, object_table(labels), warp).tolist() == []


def test_no_usable_image() -> None:
    empty = LabelledImage("a", "a", *(np.zeros((99, 99), np.uint8),) * 2)
    with pytest.raises(ImageError, match="None of the images"):
        CropSampler([empty])


def test_shares_favour_small_sets_and_follow_weights() -> None:
    names, shares = set_shares({"big": 10000, "small": 1}, None)
    assert names == ["big", "small"]
    assert shares.sum() == pytest.approx(1)
    assert 1 < shares[0] / shares[1] < 100
    _, changed = set_shares({"big": 10000, "small": 1}, {"small": 4.0})
    assert changed[1] / changed[0] == pytest.approx(4 * shares[1] / shares[0])


def test_clip_keeps_ids_and_absences(stack: LabelledStack) -> None:
    sampler = ClipSampler([stack], size=128, length=5, seed=2)
    vanished = False
    for _ in range(25):
        clip = sampler.sample()
        assert clip.images.shape == (5, 128, 128, 3)
        assert clip.labels.shape == (5, 128, 128)
        assert len(clip.candidates) == 5
        assert len(clip.candidates[0])
        assert clip.axis == "t"
        for number in (10, 20, 30, 40):
            present = (clip.labels == number).any((1, 2))
            vanished |= bool(number == 20 and present[[0, -1]].all() and ~present.all())
            centres = np.array(
                [np.argwhere(f == number).mean(0) for f in clip.labels if number in f]
            )
            if present.all() and len(centres) > 2:
                moves = np.linalg.norm(np.diff(centres, axis=0), axis=1)
                assert moves.max() < 30
    assert vanished


def test_clips_run_both_ways(stack: LabelledStack) -> None:
    numbered = LabelledStack(
        "n",
        "n",
        np.zeros((6, 64, 64), np.uint8),
        np.ones((6, 64, 64), np.int16),
    )
    numbered.labels[:, :32] = np.arange(1, 7)[:, None, None] + 10
    sampler = ClipSampler([numbered], size=64, length=3, native_fraction=1.0)
    runs = set()
    for _ in range(80):
        clip = sampler.sample()
        largest = [int(frame.max()) for frame in clip.labels]
        if min(largest) > 10:
            runs.add(tuple(np.diff(largest)))
    assert runs == {(1, 1), (-1, -1), (2, 2), (-2, -2)}


def test_shorter_clip_on_demand(stack: LabelledStack) -> None:
    sampler = ClipSampler([stack], size=96, length=8)
    assert len(sampler.sample(length=3).images) == 3


def test_same_seed_same_clips(stack: LabelledStack) -> None:
    clips = [ClipSampler([stack], size=96, length=3, seed=9).sample() for _ in range(2)]
    np.testing.assert_array_equal(clips[0].images, clips[1].images)
    np.testing.assert_array_equal(clips[0].labels, clips[1].labels)


def test_stacks_with_jumping_labels_or_too_few_frames_are_refused(
    stack: LabelledStack,
) -> None:
    with pytest.raises(ImageError, match="frames"):
        ClipSampler([stack], length=11)
    jumping = stack.labels.copy()
    jumping[1::2] *= 2
    wrong = LabelledStack("j", "j", stack.images, jumping)
    with pytest.raises(ImageError, match="frames"):
        ClipSampler([wrong], length=3)


def test_isotropic_stack_has_three_views() -> None:
    labels = np.zeros((70, 80, 90), np.int16)
    labels[10:20, 30:60, 40:80] = 1
    cube = LabelledStack("c", "c", labels.astype(np.uint8), labels, isotropic=True)
    shapes = [view.labels.shape for view in axis_views(cube)]
    assert shapes == [(70, 80, 90), (80, 70, 90), (90, 70, 80)]
    areas = [view.objects(50).areas.tolist() for view in axis_views(cube)]
    assert areas == [[], [400], [300]]


def test_object_that_never_fits_is_still_prompted() -> None:
    full = np.ones((64, 64), np.int16)
    image = LabelledImage("full", "full", full.astype(np.uint8), full)
    crop = CropSampler([image], size=64, native_fraction=1.0).sample()
    assert crop.candidates.tolist() == [1]


def test_objects_too_small_for_any_prompt() -> None:
    labels = np.zeros((256, 256), np.int16)
    labels[0, 0] = 1
    image = LabelledImage("dot", "dot", labels.astype(np.uint8), labels)
    with pytest.raises(ImageError, match="tiny"):
        CropSampler([image], size=64, native_fraction=1.0).sample()
