"""Corrections and following learn by themselves, and all else stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sam2_core.models import load_model
from sam2_core.nn.closeup import MAPS, CloseUp
from sam2_core.training import in_use
from sam2_core.training.later_answers import keeping_first, main
from sam2_core.weights import model_path, read_state_dict


def command_for(folder, run):
    command = ["--data", str(folder), "--out", str(run), "--minutes", "0.03"]
    command += ["--synthetic", "2", "--synthetic-stacks", "1", "--device", "cpu"]
    return [*command, "--batch", "2", "--accumulate", "1", "--in-use", "4"]


def test_first_answers_stay_nearly_the_same():
    torch.manual_seed(0)
    before = CloseUp(first_rank=30)
    before.first.approach(before, CloseUp())
    trained = CloseUp(learning=True)
    weights = trained.state_dict()
    weights |= {k: v for k, v in before.state_dict().items() if k in weights}
    trained.load_state_dict(weights)
    for weight in trained.parameters():
        weight.data += 1e-3 * torch.randn_like(weight)
    made = keeping_first(trained, before)
    assert made.first.rank == 30
    maps = torch.randn(1, MAPS, 32, 32)
    with torch.no_grad():
        old, new = (net.for_first_answers()(maps).logits for net in (before, made))
        other = before(maps).logits
    assert (new - old).abs().mean() < 0.1 * (other - old).abs().mean()


@pytest.mark.slow
def test_the_command_trains_what_comes_after_first_answers(folder, tmp_path):
    run = tmp_path / "run"
    # On a busy machine it is but a step or two, at a rate that only begins to rise.
    main([*command_for(folder, run), "--lr", "0.2"])
    files = sorted(path.name.split("_")[0] for path in (run / "pool").glob("*_v1_*"))
    assert files == ["corrections", "following"]
    old = read_state_dict(model_path("sam2_nano"))
    new = read_state_dict(run / "sam2_nano.safetensors")
    assert new.keys() == old.keys()
    changed = {name for name in new if not torch.equal(new[name], old[name])}
    assert "closeup.draw.weight" in changed
    assert all(name.startswith("closeup.") for name in changed)
    before, after = (
        load_model(source, device="cpu", dtype="float32").closeup
        for source in ("sam2_nano", run / "sam2_nano.safetensors")
    )
    maps = torch.randn(1, MAPS, 32, 32)
    with torch.no_grad():
        first = [net.for_first_answers()(maps).logits for net in (before, after)]
        later = [net(maps).logits for net in (before, after)]
    assert (first[0] - first[1]).abs().mean() < (later[0] - later[1]).abs().mean()


def test_what_was_asked_is_recorded_once(folder, tmp_path, monkeypatch):
    run = tmp_path / "run"
    main(command_for(folder, run))
    monkeypatch.setattr(in_use, "save_asked", lambda *_: pytest.fail("again"))
    main(command_for(folder, run))
    # Another model is asked other things.
    torch.manual_seed(0)
    digests = {in_use._digest(CloseUp(first_rank=2)) for _ in range(2)}
    assert len(digests) == 2


def test_a_model_without_close_ups_is_one_sentence(folder, tmp_path):
    command = command_for(folder, tmp_path / "run")
    with pytest.raises(SystemExit, match=r"nothing\.pt"):
        main([*command, "--start-from", str(tmp_path / "nothing.pt")])
    assert np.array_equal(sorted(tmp_path.glob("run*")), [])
