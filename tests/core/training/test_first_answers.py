"""First answers learn by themselves, and all else stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from disc_windows import disc_windows
from safetensors.torch import save_file

from sam2_core.errors import CheckpointError
from sam2_core.models import load_model
from sam2_core.nn.closeup import IMAGE_MAPS, MAPS, CloseUp
from sam2_core.training.first_answers import (
    FirstAnswersTrainer,
    main,
    starting_weights,
)
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

    trainer = FirstAnswersTrainer(tmp_path, 60, 1e-3, 0)
    monkeypatch.setattr(CloseUp, "forward", noted)
    trainer.learn([disc_windows().draw(np.random.default_rng(0))])
    first, again = asked
    assert len(again) == len(first) // 2
    negative = again[:, IMAGE_MAPS + 2 : IMAGE_MAPS + 4]
    assert not negative.any()
    for one in again[:, : IMAGE_MAPS + 6]:  # all but the mask is as it was
        assert (first[:, : IMAGE_MAPS + 6] == one).flatten(1).all(1).any()


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


def test_a_missing_model_is_one_sentence(folder, tmp_path):
    command = ["--data", str(folder), "--out", str(tmp_path / "run"), "--minutes", "0"]
    with pytest.raises(SystemExit, match=r"nothing\.pt"):
        main([*command, "--start-from", str(tmp_path / "nothing.pt")])
