"""Close-ups that were shipped learn on from where they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sam2_core.errors import CheckpointError
from sam2_core.models import load_model
from sam2_core.nn.closeup import MAPS, CloseUp, folded
from sam2_core.training.closeup import earlier_weights
from sam2_core.training.dataset import LabelledImage
from sam2_core.training.examples.object_windows import ObjectWindows
from sam2_core.training.learning.closeup_step import closeup_step
from sam2_core.training.learning.unfolding import LATE, unfolded


@pytest.fixture(scope="module")
def batches():
    rows, columns = np.mgrid[:120, :120]
    rng = np.random.default_rng(0)
    labels = ((rows - 60) ** 2 + (columns - 55) ** 2 < 400).astype(np.int32)
    image = np.where(labels > 0, 180, 60) + rng.normal(0, 20, labels.shape)
    image = image.clip(0, 255).astype(np.uint8)
    windows = ObjectWindows([LabelledImage("a", "disc", image, labels)], [], 16, seed=0)
    return [windows.draw(rng) for _ in range(4)]


@pytest.fixture(scope="module")
def network():
    return load_model("sam2_nano", device="cpu", dtype="float32").closeup


def same(one, other, maps, tolerance):
    with torch.no_grad():
        for name in ("logits", "iou", "present"):
            first, second = getattr(one(maps), name), getattr(other(maps), name)
            torch.testing.assert_close(first, second, rtol=0, atol=tolerance)


def test_answers_stay_and_folding_gives_the_network_back(network, batches):
    learning = unfolded(network, batches).eval()
    maps = torch.randn(4, MAPS, 96, 96, generator=torch.Generator().manual_seed(0))
    same(learning, network, maps, 1e-3)
    again = folded(learning)
    for name, value in again.state_dict().items():
        torch.testing.assert_close(
            value, network.state_dict()[name], rtol=1e-3, atol=1e-4
        )


def test_while_learning_it_is_normalised_by_what_it_sees(network, batches):
    """Batch statistics and kept ones agree, or the first step would start elsewhere."""
    learning = unfolded(network, batches)
    norm, conv = learning.down[1].norm1, learning.down[1].conv1
    kept = norm.running_mean.clone(), norm.running_var.clone()
    assert conv.weight.square().mean((1, 2, 3)).sqrt().detach().numpy() == (
        pytest.approx(LATE, rel=1e-3)
    )
    values = []
    conv.register_forward_hook(lambda *args: values.append(args[2].detach()))
    generator = torch.Generator().manual_seed(0)
    learning.eval()
    with torch.no_grad():
        for batch in batches:
            closeup_step(learning, batch, generator, reported=False)
    seen = torch.cat([value.float().transpose(0, 1).flatten(1) for value in values], 1)
    torch.testing.assert_close(seen.mean(1), kept[0], rtol=0.05, atol=0.02)
    torch.testing.assert_close(seen.var(1), kept[1], rtol=0.1, atol=0.01)


def test_training_goes_on_from_a_model_and_from_a_run(tmp_path, network, batches):
    state = earlier_weights("sam2_nano", iter(batches))
    maps = torch.randn(2, MAPS, 96, 96, generator=torch.Generator().manual_seed(1))
    learning = CloseUp(learning=True).eval()
    learning.load_state_dict(state)
    same(learning, network, maps, 1e-3)
    save_file(state, tmp_path / "closeup.safetensors")
    kept = earlier_weights(str(tmp_path / "closeup.safetensors"), iter(()))
    assert all(torch.equal(kept[name], value) for name, value in state.items())


def test_a_file_that_is_no_model_is_one_sentence(tmp_path, batches):
    save_file({"a": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError):
        earlier_weights(str(tmp_path / "other.safetensors"), iter(batches))
