"""Tuning of networks so small that a step takes milliseconds, and of the real one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from micro import micro_model
from scipy.ndimage import grey_dilation

from sam2_core.config import NANO
from sam2_core.errors import (
    CheckpointError,
    ImageError,
    InferenceError,
    PromptError,
)
from sam2_core.models import load_model
from sam2_core.nn.hiera import WindowAttention
from sam2_core.nn.sam2 import Sam2
from sam2_core.training.dataset import LabelledImage
from sam2_core.training.examples.object_windows import ObjectWindows
from sam2_core.training.finetune import (
    FinetuneResult,
    Quality,
    finetune,
    measure,
)
from sam2_core.training.generator.synthetic import generate_image
from sam2_core.training.labelled_files import LabelledArrays
from sam2_core.training.learning.adapters import Adapted, add_adapters, merge_adapters
from sam2_core.training.learning.closeup_step import closeup_step
from sam2_core.training.learning.image_step import StepResult
from sam2_core.training.learning.tuning import Tuner, TuningPlan, TuningProgress
from sam2_core.training.learning.whole_images import WholeImages
from sam2_core.weights import save_weights


def images(count: int = 2) -> list[LabelledImage]:
    found = []
    for seed in range(count):
        image, labels = generate_image(
            np.random.default_rng(seed), 96, "nuclei", "fluorescence"
        )
        found.append(LabelledImage(str(seed), "own", image, labels))
    return found


def changed(before: dict[str, torch.Tensor], model: torch.nn.Module) -> set[str]:
    after = model.state_dict()
    assert after.keys() == before.keys()
    return {key for key in after if not torch.equal(after[key], before[key])}


def copied(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def test_only_the_decoder_learns_by_default() -> None:
    model = micro_model()
    before = copied(model)
    tuner = Tuner(model, images(), [], TuningPlan(steps=3, objects=2, checks=1))
    ious = iter([0.1, 0.5])
    last = tuner.run(lambda: next(ious))
    found = changed(before, model)
    assert found
    assert all(key.startswith("sam_mask_decoder.") for key in found)
    assert not any("conv_s" in key for key in found)
    assert (last.step, last.first, last.best) == (3, 0.1, 0.5)
    assert not any(p.requires_grad for p in model.parameters())


def test_the_frozen_encoder_looks_once_at_each_view() -> None:
    model = micro_model()
    calls = []
    encode = model.encode_image
    model.encode_image = lambda pixels: calls.append(1) or encode(pixels)  # type: ignore[assignment, method-assign]
    whole = WholeImages(model, images(1), 2, frozen=True, seed=0)
    generator = torch.Generator().manual_seed(0)
    for _ in range(25):
        whole.step(generator, corrections=0)
    assert len(calls) == len(whole.views) == 4


def test_views_show_labels_where_the_image_is_bright() -> None:
    labels = np.zeros((60, 100), np.int32)
    labels[5:25, 60:90] = 1
    image = LabelledImage("a", "own", (labels * 255).astype(np.uint8), labels)
    whole = WholeImages(micro_model(), [image], 2, frozen=True, seed=0)
    centres = set()
    for view in whole.views:
        pixels, seen = whole._draw(view)
        bright = pixels[0, ..., 0].numpy() > 127
        assert (bright == (seen > 0)).mean() > 0.98
        rows, columns = np.nonzero(seen)
        centres.add((rows.mean() > 64, columns.mean() > 64))
    assert len(centres) == 4


def test_weights_that_did_worse_are_not_kept() -> None:
    model = micro_model()
    before = copied(model)
    tuner = Tuner(
        model, images(), [], TuningPlan(steps=50, objects=2, checks=50, patience=3)
    )
    told: list[TuningProgress] = []
    last = tuner.run(lambda: 0.5, told.append)
    assert last.step == 3
    assert [now.step for now in told] == [0, 1, 2, 3]
    assert not changed(before, model)


def test_a_learning_rate_of_zero_leaves_the_weights() -> None:
    model = micro_model()
    before = copied(model)
    ious = iter([0.1, 0.5])
    plan = TuningPlan(steps=3, objects=2, checks=1, lr=0)
    Tuner(model, images(), [], plan).run(lambda: next(ious))
    assert not changed(before, model)


@pytest.mark.parametrize(("gain", "improved"), [(0.0004, False), (0.0006, True)])
def test_a_gain_that_the_table_cannot_show_is_none(gain: float, improved: bool) -> None:
    model = micro_model()
    before = copied(model)
    ious = iter([0.5, 0.5 + gain])
    plan = TuningPlan(steps=1, objects=2, checks=1)
    last = Tuner(model, images(), [], plan).run(lambda: next(ious))
    assert bool(changed(before, model)) == improved
    quality = Quality({1: 0.5})
    result = FinetuneResult(Path("a"), quality, quality, None, None, last, 2, 1)
    assert result.improved == improved


def test_training_that_diverges_is_told_and_undone() -> None:
    model = load_model("sam2_nano", device="cpu", dtype="float32")
    before = copied(model)
    tuner = Tuner(model, images(1), [], TuningPlan(steps=4, batch=6, lr=1000))
    with pytest.raises(InferenceError, match=r"diverged.*lower than 1000"):
        tuner.run(lambda: 0.5)
    assert not changed(before, model)


def test_weights_that_give_no_masks_have_diverged() -> None:
    def check() -> float:
        if changed(before, model):
            raise PromptError("mask_input must not contain NaN or infinite values.")
        return 0.5

    model = micro_model()
    before = copied(model)
    tuner = Tuner(model, images(), [], TuningPlan(steps=3, objects=2))
    with pytest.raises(InferenceError, match="diverged"):
        tuner.run(check)
    assert not changed(before, model)


def test_what_was_better_before_training_diverged_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = micro_model()
    before = copied(model)
    tuner = Tuner(model, images(), [], TuningPlan(steps=4, objects=2, checks=4))
    ious, loss = iter([0.5, 0.6, 0.7]), tuner._loss
    losses = iter([1.0, 1.0, float("nan")])

    def broken() -> StepResult:
        return StepResult(loss().loss * next(losses), {})

    monkeypatch.setattr(tuner, "_loss", broken)
    last = tuner.run(lambda: next(ious))
    assert (last.step, last.best, last.diverged) == (2, 0.7, True)
    assert changed(before, model)
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


@pytest.mark.parametrize("lr", [float("nan"), float("inf"), -1e-4])
def test_learning_rates_that_are_none(lr: float) -> None:
    with pytest.raises(ImageError, match="learning rate"):
        TuningPlan(lr=lr)


def test_time_ends_a_run() -> None:
    tuner = Tuner(micro_model(), images(), [], TuningPlan(steps=10**6, minutes=0.01))
    assert 0 < tuner.run(lambda: 0.5).step < 10**6


def test_an_error_of_the_progress_ends_a_run() -> None:
    def stop(now: TuningProgress) -> None:
        raise KeyboardInterrupt

    tuner = Tuner(micro_model(), images(), [], TuningPlan(steps=3))
    with pytest.raises(KeyboardInterrupt):
        tuner.run(lambda: 0.5, stop)


def test_adapters_start_as_nothing_and_are_folded_in() -> None:
    model = micro_model()
    before = copied(model)
    pixels = torch.randn(1, 3, 128, 128)
    plain = model.encode_image(pixels).embedding
    learned = add_adapters(model, 2)
    torch.testing.assert_close(model.encode_image(pixels).embedding, plain)
    with torch.no_grad():
        for parameter in learned:
            parameter.add_(0.1)
    adapted = model.encode_image(pixels).embedding
    assert (adapted - plain).abs().max() > 1e-3
    assert any(isinstance(m, Adapted) for m in model.modules())
    merge_adapters(model)
    torch.testing.assert_close(
        model.encode_image(pixels).embedding, adapted, rtol=1e-3, atol=1e-4
    )
    blocks = [m for m in model.modules() if isinstance(m, WindowAttention)]
    assert len(changed(before, model)) == 2 * len(blocks)


def test_adapters_learn() -> None:
    model = micro_model()
    before = copied(model)
    plan = TuningPlan(steps=3, objects=2, checks=1, adapters=2)
    ious = iter([0.1, 0.5])
    Tuner(model, images(), [], plan).run(lambda: next(ious))
    found = changed(before, model)
    assert any("attn.qkv.weight" in key for key in found)
    assert all(key.startswith("sam_mask_decoder.") or ".attn." in key for key in found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    for own in images(3):
        tifffile.imwrite(tmp_path / f"images/{own.name}.tif", own.image)
        labels = own.labels.astype(np.uint16)
        tifffile.imwrite(tmp_path / f"labels/{own.name}.tif", labels)
    return tmp_path


@pytest.mark.slow
def test_the_bundled_model_is_tuned_and_loads_by_path(folder: Path) -> None:
    torch.manual_seed(0)
    start = save_weights(folder / "start.safetensors", Sam2(NANO))
    out = folder / "mine.safetensors"
    told: list[TuningProgress] = []
    result = finetune(
        folder / "images",
        folder / "labels",
        start,
        out,
        device="cpu",
        plan=TuningPlan(steps=2, batch=4, checks=1, lr=1e-6),
        progress=told.append,
    )
    assert [now.step for now in told] == [0, 2]
    assert isinstance(result, FinetuneResult)
    assert set(result.before.clicks) == {1, 2, 3, 4, 5}
    assert result.after.box == pytest.approx(result.before.box, abs=0.1)
    assert "box" in result.table()
    tuned, before = (load_model(path, dtype="float32") for path in (out, start))
    assert tuned.config.name == "sam2_nano"
    assert all(key.startswith("closeup.") for key in changed(copied(before), tuned))
    assert sorted(p.name for p in folder.iterdir()) == [
        "images",
        "labels",
        "mine.safetensors",
        "start.safetensors",
    ]


def test_close_ups_learn_what_they_are_shown() -> None:
    # A network that has learned nothing yet is too unsteady without normalisation.
    model = load_model("sam2_nano", device="cpu", dtype="float32")
    before = copied(model)
    # Something new: objects that reach five pixels farther than what is seen of them.
    wide = [replace(i, labels=grey_dilation(i.labels, (11, 11))) for i in images(1)]
    # Losses of different windows differ too much to show what was learned.
    windows = ObjectWindows(wide, [], 24, seed=9).draw(np.random.default_rng(9))

    def loss() -> float:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            return float(closeup_step(model.closeup, windows, generator).loss)

    first = loss()
    tuner = Tuner(model, wide, [], TuningPlan(steps=20, batch=6))
    for step in range(20):
        tuner._step(step, 0.1)
    found = changed(before, model)
    assert found
    assert all(key.startswith("closeup.") for key in found)
    reached = loss()
    assert reached < 0.95 * first, (first, reached)
    with pytest.raises(ImageError, match="official models"):
        Tuner(model, images(1), [], TuningPlan(adapters=2))


def test_nothing_is_shown_unless_progress_is_asked_for(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = TuningPlan(steps=1, objects=2, checks=1)
    parts, out = (folder / "images", folder / "labels"), folder / "mine.safetensors"
    finetune(*parts, micro_model(), out, plan=plan)
    assert capfd.readouterr() == ("", "")
    result = finetune(
        *parts, micro_model(), out, plan=plan, overwrite=True, progress=print
    )
    shown = capfd.readouterr().err
    assert result.checked_objects in [len(np.unique(i.labels)) - 1 for i in images(3)]
    assert f"objects of images:   0%|          | 0/{result.checked_objects} " in shown


def test_much_is_measured_in_part_and_the_table_says_so() -> None:
    labels = np.zeros((96, 96), np.uint16)
    for number in range(36):
        y, x = 16 * (number // 6), 16 * (number % 6)
        labels[y : y + 8, x : x + 8] = number + 1
    image = (labels > 0).astype(np.uint8) * 200
    flat = [LabelledArrays("images", str(i), "2d", image, labels) for i in range(3)]
    found = measure(micro_model(), flat, shown=False)
    assert found.measured == "measured on 100 of 108 objects, drawn at random"
    assert measure(micro_model(), flat[:2], shown=False).measured == ""
    small = np.where(labels < 9, labels, 0)[None].repeat(2, 0)
    stacks = [LabelledArrays("s", str(i), "z", small * 20, small) for i in range(4)]
    found = measure(micro_model(), stacks, shown=False)
    assert found.measured.startswith("measured on 18 of 32 followed ones")
    last = TuningProgress(1, 1, 0.5, 0.6, 0.6, 0.5, 1.0)
    result = FinetuneResult(Path("a"), found, found, None, None, last, 8, 2)
    assert result.table().splitlines()[-1] == found.measured


def test_a_target_that_cannot_be_written_is_found_first(folder: Path) -> None:
    places = [folder / "a.pt", folder / "none/a.safetensors"]
    (folder / "there.safetensors").write_bytes(b"")
    for out in [*places, folder / "there.safetensors"]:
        with pytest.raises(CheckpointError):
            finetune(folder / "images", folder / "labels", out=out)
    with pytest.raises(ImageError, match="both test images"):
        finetune(
            folder / "images",
            folder / "labels",
            out=folder / "a.safetensors",
            test_images=folder / "images",
        )


def test_table_shows_what_was_gained() -> None:
    before = Quality({1: 0.5, 3: 0.625, 5: 0.75}, 0.7)
    after = Quality({1: 0.625, 3: 0.5, 5: 0.75}, 0.8)
    last = TuningProgress(10, 20, 0.5, 0.6, 0.6, 0.5, 60.0)
    result = FinetuneResult(Path("a"), before, after, before, after, last, 8, 2)
    first, second = result.table().split("\n\n")
    assert first.splitlines()[1].split() == ["1", "click", "0.500", "0.625", "+0.125"]
    assert first.splitlines()[2].split()[-1] == "-0.125"
    assert "stack" not in first
    assert second.startswith("test images")
    assert result.improved
