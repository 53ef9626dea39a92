"""Names, files and figures of models, as ultralytics' `SAM` has them."""

from __future__ import annotations

import pytest
import torch
from micro import moving_disc
from torch import nn

from sam2_core.compat import SAM
from sam2_core.compat.sam import find_weights
from sam2_core.config import VARIANTS
from sam2_core.devices import choose_dtype
from sam2_core.errors import CheckpointError
from sam2_core.image import ImagePredictor
from sam2_core.nn.sam2 import Sam2

FRAMES = moving_disc(3)


def test_names_of_ultralytics(monkeypatch, tmp_path):
    here = set()
    monkeypatch.setattr("sam2_core.compat.sam.is_available", here.__contains__)
    monkeypatch.chdir(tmp_path)
    for name, variant in {
        "sam2_t.pt": "sam2_hiera_tiny",
        "sam2_s.pt": "sam2_hiera_small",
        "sam2_b.pt": "sam2_hiera_base_plus",
        "sam2.1_l.pt": "sam2.1_hiera_large",
    }.items():
        with pytest.raises(CheckpointError, match=f"models download {variant}"):
            SAM(name)
        here.add(variant)
        assert find_weights(name) == variant
        assert variant in VARIANTS
    for name in ("sam_b.pt", "yolov8n.pt", "sam2_x.pt"):
        with pytest.raises(CheckpointError, match="There is no model"):
            SAM(name)
    with pytest.raises(CheckpointError, match="There is no file"):
        SAM("weights/sam2_t.pt")


def half_weights(variant: str) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        shapes = Sam2(VARIANTS[variant]).state_dict()
    generator = torch.Generator().manual_seed(0)
    return {
        key: (torch.rand(t.shape, generator=generator) * 0.04 - 0.02).half()
        for key, t in shapes.items()
    }


def test_half_precision_files_of_ultralytics(monkeypatch, tmp_path):
    """A dict with "model" in float16, found in this folder or beside the others."""
    monkeypatch.chdir(tmp_path)
    half = half_weights("sam2_nano")
    torch.save({"model": half}, "sam2_t.pt")
    sam = SAM("sam2_t.pt")
    assert sam.ckpt_path == "sam2_t.pt"
    assert sam.model.config.name == "sam2_nano"  # told from the tensors
    # Half precision of a file says nothing about what this computer is fast at.
    assert {p.dtype for p in sam.model.parameters()} == {choose_dtype("auto")}
    for key, tensor in sam.model.state_dict().items():
        torch.testing.assert_close(tensor, half[key].to(tensor.dtype))

    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "sam2_t.pt").rename(home / "sam2_t.pt")
    monkeypatch.setenv("NAPARI_SAM2_HOME", str(home))
    assert find_weights("sam2_t.pt") == str(home / "sam2_t.pt")


@pytest.mark.slow
def test_half_precision_file_of_the_real_size(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": half_weights("sam2_hiera_tiny")}, "sam2_t.pt")
    info = SAM("sam2_t.pt").info()
    assert info.name == "sam2_hiera_tiny"
    assert 75 < info.megabytes < 80  # half of the official 156


def test_info_is_what_ultralytics_returns(sam, network, tmp_path, monkeypatch):
    sam.ckpt_path = str(tmp_path / "weights.pt")
    (tmp_path / "weights.pt").write_bytes(bytes(2_500_000))
    layers, parameters, gradients, gflops = info = sam.info()
    assert layers == sum(not len(list(m.children())) for m in network.modules())
    buffers = sum(b.numel() for b in network.buffers())
    values = sum(t.numel() for t in network.state_dict().values())
    assert parameters == values - buffers
    assert gradients == 0
    assert info.megabytes == 2.5
    assert str(info).startswith(f"micro: {layers} layers, {parameters:,} parameters")
    assert gflops == pytest.approx(operations(network, monkeypatch) / 1e9, rel=0.02)


def operations(network: Sam2, monkeypatch) -> int:
    """Operations of layers and attention, from the shapes they see."""
    counts = []

    def seen(module, inputs, output):
        rows = inputs[0] if isinstance(module, nn.ConvTranspose2d) else output
        counts.append(2 * module.weight.shape[1:].numel() * rows.numel())

    def attention(query, key, value, *args, **kwargs):
        pairs = query.shape[:-1].numel() * key.shape[-2]
        counts.append(2 * pairs * (query.shape[-1] + value.shape[-1]))
        return attend(query, key, value, *args, **kwargs)

    attend = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", attention)
    hooks = [
        module.register_forward_hook(seen)
        for module in network.modules()
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d))
    ]
    predictor = ImagePredictor(network)
    predictor.set_image(FRAMES[0])
    predictor.predict(point_coords=[[12, 20]])
    for hook in hooks:
        hook.remove()
    return sum(counts)
