"""Linear layers with their activation against the formula written out."""

from __future__ import annotations

import pytest
import torch

from sam2_core.nn import linear as module
from sam2_core.nn.linear import Linear, joining_pays_off, linear

ACTIVATIONS = {
    "none": lambda y: y,
    "relu": lambda y: y.clamp(min=0),
    "gelu": lambda y: y * (1 + torch.erf(y / 2**0.5)) / 2,
}


@pytest.fixture
def worthwhile(monkeypatch):
    """Even small maps."""
    monkeypatch.setattr(module, "WORTHWHILE", 1)


def expected(x, weight, bias, activation):
    x, weight, bias = (tensor.double() for tensor in (x, weight, bias))
    return ACTIVATIONS[activation](torch.einsum("...i,oi->...o", x, weight) + bias)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(40, 16), (2, 3, 5, 16), (0, 16)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.usefixtures("worthwhile")
def test_projection_and_activation(activation, shape, dtype):
    torch.manual_seed(0)
    x, weight, bias = (torch.randn(size).to(dtype) for size in (shape, (24, 16), 24))
    with torch.inference_mode():
        found = linear(x, weight, bias, activation)
    assert found.dtype == dtype
    exact = expected(x, weight, bias, activation)
    # Sums are rounded, and once more before an activation of its own.
    step = 4 * torch.finfo(dtype).eps * exact.abs().clamp(min=4)
    assert bool(((found.double() - exact).abs() <= step).all())


@pytest.mark.usefixtures("worthwhile")
def test_tokens_may_lie_scattered():
    torch.manual_seed(0)
    x = torch.randn(30, 7, 16).bfloat16().transpose(0, 1)[:, ::2]
    weight, bias = torch.randn(24, 16).bfloat16(), torch.randn(24).bfloat16()
    with torch.inference_mode():
        found = linear(x, weight, bias)
        assert torch.equal(found, linear(x.contiguous(), weight, bias))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_are_those_of_torch(activation):
    torch.manual_seed(0)
    layer = Linear(16, 24)
    x = torch.randn(10, 16)
    layer(x, activation).square().sum().backward()
    found = layer.weight.grad.clone()
    layer.weight.grad = None
    y = torch.nn.functional.linear(x, layer.weight, layer.bias)
    ACTIVATIONS[activation](y).square().sum().backward()
    torch.testing.assert_close(found, layer.weight.grad)


def test_where_it_pays(monkeypatch):
    monkeypatch.setattr(module, "_has_joined", lambda: True)
    wide = torch.zeros(module.WORTHWHILE // 16, 16).bfloat16()
    weight = torch.zeros(24, 16).bfloat16()
    assert not joining_pays_off(wide, weight)  # gradients are wanted
    with torch.inference_mode():
        assert joining_pays_off(wide, weight)
        assert not joining_pays_off(wide[1:], weight)
        assert not joining_pays_off(wide.float(), weight.float())
        assert not joining_pays_off(wide, weight.float())  # under autocast
        assert not joining_pays_off(wide.to("meta"), weight)
        monkeypatch.setattr(module, "_has_joined", lambda: False)
        assert not joining_pays_off(wide, weight)


@pytest.mark.usefixtures("worthwhile")
def test_nothing_is_lost_without_the_operator(monkeypatch):
    torch.manual_seed(0)
    x, weight = torch.randn(40, 16).bfloat16(), torch.randn(24, 16).bfloat16()
    bias = torch.randn(24).bfloat16()
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    assert not module._has_joined()
    with torch.inference_mode():
        found = linear(x, weight, bias, "relu")
    exact = expected(x, weight, bias, "relu")
    torch.testing.assert_close(found.double(), exact, rtol=0.01, atol=0.1)
