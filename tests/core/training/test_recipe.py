"""The whole way to a model like the bundled one, from nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from sam2_core.models import load_model
from sam2_core.training import recipe
from sam2_core.training.recipe import FILE, Stage, main
from sam2_core.weights import model_path, read_state_dict


@pytest.mark.slow
def test_the_recipe_makes_a_model_from_nothing(folder, tmp_path, monkeypatch):
    out = tmp_path / "out"
    command = ["--data", str(folder), "--out", str(out), "--scale", "0.0003"]
    main(command)
    made, old = read_state_dict(out / FILE), read_state_dict(model_path("sam2_nano"))
    assert made.keys() == old.keys()
    for name in ("image_encoder.neck.convs.0.conv.weight", "closeup.draw.weight"):
        assert not torch.equal(made[name], old[name])
    model = load_model(out / FILE, device="cpu", dtype="float32")
    first, later = model.closeup.for_first_answers(), model.closeup
    assert not torch.equal(first.draw.weight, later.draw.weight)
    # A second time there is nothing left to do.
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("done again"))
    main(command)


@pytest.mark.parametrize("code", [1, 3])
def test_a_stage_that_stops_is_named(tmp_path, monkeypatch, code):
    begun = []
    stage = ["-c", f"raise SystemExit({code})"]
    later = ["-c", "raise SystemExit('never')"]
    monkeypatch.setattr(
        recipe,
        "stages",
        lambda options: [
            Stage("training of something", stage, tmp_path / "something"),
            Stage("the rest", later, tmp_path / "rest"),
        ],
    )
    run = subprocess.run

    def noted(command, **kwargs):
        begun.append(command)
        return run(command, **kwargs)

    monkeypatch.setattr(subprocess, "run", noted)
    with pytest.raises(SystemExit, match=rf"training of something .*{code}"):
        main(["--data", str(tmp_path), "--out", str(tmp_path / "out")])
    assert begun == [[sys.executable, *stage]]


def test_a_missing_folder_is_one_sentence(tmp_path):
    with pytest.raises(SystemExit, match="no training folder"):
        main(["--data", str(tmp_path / "none"), "--out", str(tmp_path / "out")])
