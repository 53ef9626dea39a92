"""The close-up network learns, stops, resumes, and its weights are written."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sam2_core.nn.closeup import MAPS, CloseUp, SeenObject
from sam2_core.training.closeup import (
    CloseUpTrainer,
    _size,
    joined,
    train,
    training_batches,
)
from sam2_core.training.closeup_step import _loss, closeup_step
from sam2_core.training.dataset import LabelledImage
from sam2_core.training.object_windows import ObjectWindows
from sam2_core.training.window_batch import CLICK, FOLLOW
from sam2_core.weights import model_path, read_state_dict


def disc(radius=20):
    rows, columns = np.mgrid[:120, :120]
    labels = ((rows - 60) ** 2 + (columns - 55) ** 2 < radius**2).astype(np.int32)
    image = np.where(labels > 0, 200, 40).astype(np.uint8)
    return LabelledImage("a", "disc", image, labels)


@pytest.fixture(scope="module")
def windows():
    return ObjectWindows([disc()], [], 8, seed=0)


def test_a_few_steps_lower_the_loss(windows):
    torch.manual_seed(0)
    model = CloseUp(learning=True).train()
    batch = windows.draw(np.random.default_rng(0))
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(8):
        result = closeup_step(model, batch, generator)
        optimizer.zero_grad()
        torch.autograd.backward(result.loss)
        optimizer.step()
        losses.append(float(result.loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    assert {"click1", "box1", "click2"} <= set(result.report)


def test_everything_learns_from_windows_of_twice_the_side():
    large = ObjectWindows([disc(radius=30)], [], 8, seed=0)
    batch = large.draw(np.random.default_rng(0), fine=True)
    model = CloseUp(learning=True).train()
    result = closeup_step(model, batch, torch.Generator().manual_seed(0))
    torch.autograd.backward(result.loss)
    for name, parameter in model.named_parameters():
        if name.endswith("weight"):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def asked(target, known=None, area=0.0, followed=False, stranger=False):
    """One window as the loss sees it."""
    return SimpleNamespace(
        target=target,
        known=torch.ones_like(target) if known is None else known,
        areas=torch.tensor([area]),
        kinds=torch.tensor([FOLLOW if followed else CLICK]),
        strangers=torch.tensor([stranger]),
    )


def test_presence_is_learned_where_objects_are_followed():
    target = torch.zeros(1, 32, 32, dtype=torch.bool)  # it is gone
    empty = torch.full((1, 32, 32), -9.0)
    losses = []
    for followed in (False, True):
        for logit in (-4.0, 4.0):
            said = SeenObject(empty, torch.zeros(1), torch.full((1,), logit))
            loss, _ = _loss(said, asked(target, followed=followed))
            losses.append(float(loss))
    assert losses[0] == pytest.approx(losses[1])
    assert losses[3] > losses[2] + 1


def test_a_stranger_is_to_be_drawn_but_is_not_there():
    target = torch.zeros(1, 32, 32, dtype=torch.bool)
    target[0, 8:24, 8:24] = True
    drawn = torch.where(target, 9.0, -9.0)
    said = {
        (mask, sure): float(
            _loss(
                SeenObject(logits, torch.full((1,), sure), torch.full((1,), sure)),
                asked(target, area=256.0, followed=True, stranger=True),
            )[0]
        )
        for mask, logits in (("drawn", drawn), ("empty", -drawn.abs()))
        for sure in (-4.0, 4.0)
    }
    assert min(said, key=said.get) == ("drawn", -4.0)
    assert said["drawn", 4.0] > said["drawn", -4.0] + 1


def seen(logits):
    n = len(logits)
    return SeenObject(logits, torch.zeros(n), torch.zeros(n))


def test_the_iou_counts_what_lies_outside_the_window():
    target = torch.zeros(1, 32, 32, dtype=torch.bool)
    target[0, 8:24, 16:32] = True  # 256 pixels, cut off by the right border
    logits = torch.where(target, 9.0, -9.0)
    _, whole = _loss(seen(logits), asked(target, area=256.0))
    _, half = _loss(seen(logits), asked(target, area=512.0))
    assert whole.item() == pytest.approx(1.0)
    assert half.item() == pytest.approx(0.5)


def test_beyond_the_image_nothing_is_wrong():
    target = torch.zeros(1, 32, 32, dtype=torch.bool)
    target[0, 4:12, 4:12] = True
    known = torch.ones_like(target)
    known[..., 16:] = False
    right = torch.where(target, 9.0, -9.0)
    spilled = right.clone()
    spilled[..., 16:] = 9.0
    window = asked(target, known, 64.0)
    one, other = (_loss(seen(x), window) for x in (right, spilled))
    assert one[0] == pytest.approx(float(other[0]))
    assert other[1].item() == pytest.approx(1.0)


def test_training_resumes_where_it_stopped(tmp_path, windows, monkeypatch):
    class Stop(Exception):
        pass

    def stream(count):
        rng = np.random.default_rng(0)
        for _ in range(count):
            yield windows.draw(rng)
        raise Stop

    first = CloseUpTrainer(tmp_path, minutes=60, lr=1e-3, seed=0)
    with pytest.raises(Stop):
        train([first], stream(3))
    first.save()
    again = CloseUpTrainer(tmp_path, minutes=60, lr=1e-3, seed=0)
    assert again.step == 3
    assert again.seconds == pytest.approx(first.seconds)
    for name, value in again.model.state_dict().items():
        torch.testing.assert_close(value, first.model.state_dict()[name])
    with pytest.raises(Stop):
        train([again], stream(1))
    log = (tmp_path / "log.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in log]
    assert steps == [0, 1, 2, 3]
    # The weights on disk are the average, and load as they are.
    CloseUp(learning=True).load_state_dict(load_file(tmp_path / "closeup.safetensors"))


def test_several_sizes_learn_from_the_same_windows(tmp_path, windows):
    widths, deep = _size("16,32,48,64:1")
    assert (widths, deep) == ((16, 32, 48, 64), 1)
    trainers = [
        CloseUpTrainer(tmp_path / "usual", 60, 1e-3, 0),
        CloseUpTrainer(tmp_path / "small", 60, 1e-3, 0, widths, deep),
    ]
    before = [load_copy(trainer) for trainer in trainers]
    batches = iter([windows.draw(np.random.default_rng(0))])
    with pytest.raises(StopIteration):
        train(trainers, batches)
    for trainer, old in zip(trainers, before, strict=True):
        assert trainer.step == 1
        assert trainer.seconds > 0
        new = trainer.model.state_dict()
        assert any(not torch.equal(new[name], value) for name, value in old.items())


def load_copy(trainer):
    return {name: v.clone() for name, v in trainer.model.state_dict().items()}


def test_workers_draw_different_windows():
    options = SimpleNamespace(batch=2, workers=2, device="cpu")
    batches = training_batches([disc()], [], options, seed=0)
    first, second = next(batches), next(batches)
    assert first.images.shape != second.images.shape or not torch.equal(
        first.images, second.images
    )


def test_a_run_that_is_over_does_nothing(tmp_path, windows):
    trainer = CloseUpTrainer(tmp_path, minutes=0, lr=1e-3, seed=0)
    train([trainer], iter([windows.draw(np.random.default_rng(0))]))
    assert trainer.step == 0
    assert trainer.weights.is_file()


def test_the_bundled_model_gets_the_new_close_ups():
    torch.manual_seed(1)
    network = CloseUp(learning=True)
    model = joined(model_path("sam2_nano"), network)
    old = read_state_dict(model_path("sam2_nano"))
    for name, value in model.state_dict().items():
        if not name.startswith("closeup."):
            torch.testing.assert_close(value, old[name].float())
    maps = torch.randn(1, MAPS, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            model.closeup(maps).iou, network.eval()(maps).iou, rtol=1e-3, atol=1e-3
        )
