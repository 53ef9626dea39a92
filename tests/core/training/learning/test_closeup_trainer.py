"""The trainer of the close-up network steps, stops, resumes; alone and with others."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from disc_windows import disc_windows
from safetensors.torch import load_file

from sam2_core.nn.closeup import CloseUp
from sam2_core.training.closeup import _size
from sam2_core.training.learning.closeup_step import closeup_step
from sam2_core.training.learning.closeup_trainer import CloseUpTrainer, train


@pytest.fixture(scope="module")
def windows():
    return disc_windows()


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


def test_a_run_that_is_over_does_nothing(tmp_path, windows):
    trainer = CloseUpTrainer(tmp_path, minutes=0, lr=1e-3, seed=0)
    train([trainer], iter([windows.draw(np.random.default_rng(0))]))
    assert trainer.step == 0
    assert trainer.weights.is_file()


def test_kept_norms_make_small_batches_as_good_as_a_large_one(tmp_path, windows):
    """The loss is a mean over windows, and no window sees the others."""
    trainer = CloseUpTrainer(tmp_path, 60, 1e-3, 0, keep_norms=True)
    kept = {n: b.clone() for n, b in trainer.model.named_buffers()}
    batch = windows.draw(np.random.default_rng(0))
    trainer.learn([batch, batch])
    for name, value in trainer.model.named_buffers():
        assert torch.equal(value, kept[name]), name
    changed = CloseUpTrainer(tmp_path / "other", 60, 1e-3, 0)
    changed.learn([batch])
    norm = "down.0.norm1.running_mean"
    assert not torch.equal(changed.model.state_dict()[norm], kept[norm])


TOGETHER = """
import sys
from pathlib import Path
import numpy as np
import torch
from disc_windows import disc_windows
from sam2_core.training.learning import together
from sam2_core.training.learning.closeup_trainer import CloseUpTrainer

together.join_others()
rank = together.rank()
windows = disc_windows()
batches = [windows.draw(np.random.default_rng(k)) for k in range(2)]
folder = Path(sys.argv[1])
trainer = CloseUpTrainer(folder, 60, 1e-3, seed=rank, keep_norms=True)
together.as_first(trainer.model)
trainer.generator.manual_seed(rank)
trainer.learn([batches[rank]])
trainer.save()
torch.save(trainer.model.state_dict(), folder / f"{rank}.pt")
together.leave_others()
"""


def test_processes_learn_one_network_from_windows_of_their_own(tmp_path, windows):
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", "0", "--standalone", str(script), str(tmp_path)]
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, env=here
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    before = CloseUpTrainer(tmp_path / "before", 60, 1e-3, 0).model.state_dict()
    assert any(not torch.equal(first[name], value) for name, value in before.items())
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, rtol=0, atol=0)
    # One process that sees the windows of both moves the same way.
    alone = CloseUpTrainer(tmp_path / "alone", 60, 1e-3, 0, keep_norms=True)
    gradients = []
    for rank in range(2):
        other = CloseUpTrainer(tmp_path / "alone", 60, 1e-3, 0, keep_norms=True)
        other.generator.manual_seed(rank)
        gradients.append(gradient(other, windows.draw(np.random.default_rng(rank))))
    for p, one, two in zip(alone.model.parameters(), *gradients, strict=True):
        p.grad = (one + two) / 2
    torch.nn.utils.clip_grad_norm_(alone.model.parameters(), 2.0)
    for group in alone.optimizer.param_groups:
        group["lr"] = alone._rate()
    alone.optimizer.step()
    for name, value in alone.model.state_dict().items():
        torch.testing.assert_close(first[name], value, rtol=1e-3, atol=2e-5)
    assert (tmp_path / "closeup.safetensors").is_file()


def gradient(trainer, batch):
    trainer.model.eval()
    closeup_step(trainer.model, batch, trainer.generator).loss.backward()
    return [p.grad.clone() for p in trainer.model.parameters()]
