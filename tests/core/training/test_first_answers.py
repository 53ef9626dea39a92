"""First answers learn by themselves, and all else stays as it is."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from disc_windows import disc_windows
from safetensors.torch import save_file

from sam2_core.errors import CheckpointError
from sam2_core.models import load_model
from sam2_core.nn.closeup import IMAGE_MAPS, MAPS, CloseUp, folded
from sam2_core.training.examples.window_batch import BOX, CLICK
from sam2_core.training.first_answers import (
    DRAW_EVERY,
    FirstAnswersTrainer,
    draw_near,
    main,
    starting_weights,
)
from sam2_core.training.practice.asked_windows import read_asked
from sam2_core.weights import model_path, read_state_dict


def closeups():
    return load_model("sam2_nano", device="cpu", dtype="float32").closeup


def test_it_begins_as_the_model_draws_first_answers():
    windows, network = disc_windows(), closeups()
    drawn = (windows.draw(np.random.default_rng(i)) for i in range(2))
    model = CloseUp(learning=True).eval()
    model.load_state_dict(starting_weights(network, None, drawn))
    maps = torch.randn(2, MAPS, 32, 32)
    with torch.no_grad():
        found, first = model(maps), network.for_first_answers()(maps)
        later = network(maps)
    torch.testing.assert_close(found.logits, first.logits, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(later.logits, first.logits, atol=0.1)


def test_clicks_are_not_corrected(tmp_path, monkeypatch):
    """What comes again is looked at again, with the same click and no other."""
    asked = []
    seen = CloseUp.forward

    def noted(self, maps):
        asked.append(maps)
        return seen(self, maps)

    trainer = FirstAnswersTrainer(CloseUp(first_rank=4), tmp_path, 60, 1e-3, 0)
    monkeypatch.setattr(CloseUp, "forward", noted)
    trainer.learn([disc_windows().draw(np.random.default_rng(0))])
    first, again = asked
    assert len(again) == len(first) // 2
    negative = again[:, IMAGE_MAPS + 2 : IMAGE_MAPS + 4]
    assert not negative.any()
    for one in again[:, : IMAGE_MAPS + 6]:  # all but the mask is as it was
        assert (first[:, : IMAGE_MAPS + 6] == one).flatten(1).all(1).any()


def far_from(base, network):
    """How far each large matrix is from changes of the rank of `base.first`."""
    far = {}
    for name, weight in folded(network).named_parameters():
        change, rank = (weight - base.get_parameter(name)).detach(), base.first.rank
        if rank * (len(change) + change[0].numel()) < change.numel():
            left = torch.linalg.svdvals(change.flatten(1))[rank:]
            far[name] = float(left.norm())
    return far


def test_the_network_is_drawn_to_what_changes_can_be():
    torch.manual_seed(0)
    base, network = CloseUp(first_rank=4), CloseUp(learning=True)
    for pair in network.down:  # normalisation that matters
        pair.norm1.running_var.uniform_(0.2, 3)
        pair.norm2.weight.data.uniform_(0.2, 3)
    before = copy.deepcopy(network)
    draw_near(network, base, 1.0)
    far = far_from(base, network)
    assert min(far_from(base, before).values()) > 0.1
    assert len(far) > 10
    assert max(far.values()) < 1e-4
    # Nothing else moves, and half of the way is half of it.
    half = copy.deepcopy(before)
    draw_near(half, base, 0.5)
    for name, weight in half.named_parameters():
        middle = (before.get_parameter(name) + network.get_parameter(name)) / 2
        torch.testing.assert_close(weight, middle, rtol=1e-3, atol=1e-6)
        if name not in far:
            old = before.get_parameter(name)
            torch.testing.assert_close(weight, old, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("done", "drawn"), [(0.1, False), (0.45, True), (0.9, True)])
def test_it_is_drawn_there_once_it_has_learned(tmp_path, done, drawn):
    torch.manual_seed(7)  # not the one that the network is made with
    base = CloseUp(first_rank=4)
    trainer = FirstAnswersTrainer(base, tmp_path, 60, 1e-3, 0)
    trainer.step, trainer.seconds = DRAW_EVERY - 1, done * 3600
    before = far_from(base, trainer.model)
    trainer.learn([disc_windows().draw(np.random.default_rng(0))])
    for network in (trainer.model, trainer.average):
        far = far_from(base, network)
        assert all((far[name] < 0.985 * before[name]) == drawn for name in far)
        assert (max(far.values()) < 1e-4) == (done == 0.9)


def test_weights_of_another_run_are_begun_with(tmp_path):
    path = tmp_path / "closeup.safetensors"
    torch.manual_seed(0)
    other = CloseUp(learning=True).state_dict()
    save_file(other, path)
    found = starting_weights(closeups(), path, iter(()))
    torch.testing.assert_close(found["draw.weight"], other["draw.weight"])


def test_weights_of_something_else_are_refused(tmp_path):
    path = tmp_path / "closeup.safetensors"
    save_file({"draw.weight": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="not the closeup"):
        starting_weights(closeups(), path, iter(()))


@pytest.mark.slow
def test_the_command_writes_a_model_with_other_first_answers(folder, tmp_path):
    run = tmp_path / "run"
    command = ["--data", str(folder), "--out", str(run), "--minutes", "0.05"]
    command += ["--synthetic", "1", "--device", "cpu"]
    main([*command, "--batch", "2", "--accumulate", "1"])
    old = read_state_dict(model_path("sam2_nano"))
    new = read_state_dict(run / "sam2_nano.safetensors")
    assert set(new) == set(old)
    changed = {name for name in new if not torch.equal(new[name], old[name])}
    assert changed
    assert all(name.startswith("closeup.first.") for name in changed)
    model = load_model(run / "sam2_nano.safetensors", device="cpu", dtype="float32")
    learned = CloseUp(learning=True)
    learned.load_state_dict(read_state_dict(run / "closeup.safetensors"))
    # As near as the rank allows: what is kept whole is the same but for rounding.
    made = model.closeup.for_first_answers().draw.weight
    torch.testing.assert_close(made, learned.draw.weight, rtol=2e-3, atol=2e-3)


@pytest.mark.slow
def test_the_command_learns_from_what_is_asked_in_use(folder, tmp_path):
    run = tmp_path / "run"
    command = ["--data", str(folder), "--out", str(run), "--minutes", "0.03"]
    command += ["--synthetic", "1", "--device", "cpu", "--in-use", "8"]
    main([*command, "--batch", "2", "--accumulate", "1"])
    (kept,) = (run / "pool").glob("first_v1_*")
    assert {window.kind for window in read_asked(kept)} == {CLICK, BOX}
    log = (run / "log.jsonl").read_text().splitlines()
    assert any("click" in line for line in log)
    new = read_state_dict(run / "sam2_nano.safetensors")
    old = read_state_dict(model_path("sam2_nano"))
    changed = {name for name in new if not torch.equal(new[name], old[name])}
    assert changed
    assert all(name.startswith("closeup.first.") for name in changed)


def test_a_missing_model_is_one_sentence(folder, tmp_path):
    command = ["--data", str(folder), "--out", str(tmp_path / "run"), "--minutes", "0"]
    with pytest.raises(SystemExit, match=r"nothing\.pt"):
        main([*command, "--start-from", str(tmp_path / "nothing.pt")])
