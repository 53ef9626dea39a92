"""First answers learn by themselves, and all else stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from disc_windows import disc_windows
from safetensors.torch import save_file

from sam2_core.errors import CheckpointError
from sam2_core.models import load_model
from sam2_core.nn.closeup import MAPS, CloseUp, folded
from sam2_core.training.first_answers import (
    FirstAnswersTrainer,
    main,
    starting_network,
)
from sam2_core.weights import model_path, read_state_dict


def test_only_the_changes_move(tmp_path):
    trainer = FirstAnswersTrainer(tmp_path, minutes=60, lr=1e-3, seed=0)
    trainer.start_from(starting_network("sam2_nano", None))
    before = {name: v.clone() for name, v in trainer.model.state_dict().items()}
    windows = disc_windows()
    rng = np.random.default_rng(0)
    for _ in range(3):
        trainer.learn([windows.draw(rng), windows.draw(rng)])
    moved = {
        name
        for name, value in trainer.model.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert moved == {name for name in before if name.startswith("first.")}


def test_they_begin_like_a_network_that_is_better_at_them(tmp_path):
    torch.manual_seed(0)
    other = CloseUp(learning=True)
    save_file(other.state_dict(), tmp_path / "closeup.safetensors")
    model = load_model("sam2_nano", device="cpu", dtype="float32")
    state = starting_network("sam2_nano", tmp_path / "closeup.safetensors")
    goal = folded(other.eval())
    model.closeup.load_state_dict(state)
    made = model.closeup.for_first_answers()
    torch.testing.assert_close(made.draw.weight, goal.draw.weight)
    maps = torch.randn(1, MAPS, 32, 32)
    old = load_model("sam2_nano", device="cpu", dtype="float32").closeup
    with torch.no_grad():
        torch.testing.assert_close(model.closeup(maps).iou, old(maps).iou)


def test_weights_of_something_else_are_refused(tmp_path):
    path = tmp_path / "closeup.safetensors"
    save_file({"draw.weight": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="not the closeup"):
        starting_network("sam2_nano", path)


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
    load_model(run / "sam2_nano.safetensors", device="cpu")


def test_a_missing_model_is_one_sentence(folder, tmp_path):
    command = ["--data", str(folder), "--out", str(tmp_path / "run"), "--minutes", "0"]
    with pytest.raises(SystemExit, match=r"nothing\.pt"):
        main([*command, "--start-from", str(tmp_path / "nothing.pt")])
