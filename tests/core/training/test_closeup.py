"""The close-up network learns, stops, resumes, and its weights are written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from disc_windows import disc, disc_windows

from sam2_core.nn.closeup import MAPS, CloseUp, SeenObject
from sam2_core.training.closeup import joined, main, training_batches
from sam2_core.training.examples.object_windows import ObjectWindows
from sam2_core.training.examples.window_batch import CLICK, FOLLOW
from sam2_core.training.learning.closeup_step import _ask, _loss, closeup_step
from sam2_core.weights import model_path, read_state_dict


@pytest.fixture(scope="module")
def windows():
    return disc_windows()


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


def test_first_answers_are_learned_by_the_changes_and_corrections_are_not(windows):
    torch.manual_seed(0)
    model = CloseUp(first_rank=4)
    batch = windows.draw(np.random.default_rng(0))

    def learned(rounds, unasked):
        model.zero_grad()
        generator = torch.Generator().manual_seed(0)
        closeup_step(model, batch, generator, rounds, unasked=unasked).loss.backward()
        bias = model.first.whole["draw-bias"].grad
        return float(bias), float(model.draw.bias.grad)

    # What is added to a weight has its gradient: of first answers both have the same.
    first, alike = learned(1, 0.0)
    assert first == pytest.approx(alike) != 0
    second, alike = learned(2, 1.0)  # second looks are first answers, too
    assert second == pytest.approx(alike) != pytest.approx(first)
    one, both = learned(2, 0.0)  # but corrections are not
    assert one == pytest.approx(first)
    assert both != pytest.approx(first)


def test_answers_of_both_networks_lie_where_they_were_asked():
    torch.manual_seed(0)
    model = CloseUp(first_rank=4).eval()
    model.first.approach(model, CloseUp())
    maps = torch.randn(4, MAPS, 32, 32)
    first = torch.tensor([False, True, True, False])
    with torch.no_grad():
        seen = _ask(model, maps, first)
        later, changed = model(maps), model.for_first_answers()(maps)
    for name in ("logits", "iou", "present"):
        one, two, found = (getattr(s, name) for s in (changed, later, seen))
        torch.testing.assert_close(found[first], one[first], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found[~first], two[~first], rtol=1e-4, atol=1e-5)


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


def test_workers_draw_different_windows():
    options = SimpleNamespace(batch=2, workers=2, device="cpu")
    batches = training_batches([disc()], [], options, seed=0)
    first, second = next(batches), next(batches)
    assert first.images.shape != second.images.shape or not torch.equal(
        first.images, second.images
    )


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


def test_a_missing_model_is_one_sentence(folder, tmp_path):
    command = ["--data", str(folder), "--out", str(tmp_path / "run"), "--minutes", "0"]
    command += ["--synthetic", "1", "--synthetic-stacks", "1", "--device", "cpu"]
    with pytest.raises(SystemExit, match=r"nothing\.pt"):
        main([*command, "--start-from", str(tmp_path / "nothing.pt")])


@pytest.mark.slow
def test_two_processes_go_on_from_the_bundled_model(folder, tmp_path):
    """The command of docs/training.md, for a few seconds."""
    run = tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "sam2_core.training.closeup"]
    command += ["--data", str(folder), "--out", str(run), "--minutes", "0.03"]
    command += ["--synthetic", "2", "--synthetic-stacks", "2", "--device", "cpu"]
    command += ["--batch", "2", "--accumulate", "2", "--keep-norms"]
    command += ["--start-from", "sam2_nano"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    log = (run / "log.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in log]
    assert steps == list(range(len(steps)))  # written by one of them
    assert len(steps) > 0
    old = read_state_dict(model_path("sam2_nano"))
    new = read_state_dict(run / "sam2_nano.safetensors")
    name = "closeup.draw.weight"
    torch.testing.assert_close(new[name], old[name], rtol=0.2, atol=0.02)
    # In float32: on a slow machine a single small step is all that there is time for.
    learned = read_state_dict(run / "closeup.safetensors")["draw.weight"]
    assert not torch.equal(learned, old[name].float())
