"""Muon moves convolutions by orthogonal steps and leaves the rest to AdamW."""

from __future__ import annotations

import copy

import torch
from torch import nn

from sam2_core.training.learning.muon import Muon, orthogonal


def test_singular_values_come_near_one():
    torch.manual_seed(0)
    for shape in ((24, 90), (90, 24), (32, 128)):
        values = torch.linalg.svdvals(orthogonal(torch.randn(shape)).float())
        assert 0.5 < values.min() < values.max() < 1.4


def test_wide_convolutions_move_alike_in_all_directions():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(16, 32, 3), nn.Conv2d(32, 4, 1))
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = Muon(model, lr=0.01, weight_decay=0.0)
    model(torch.randn(2, 16, 8, 8)).square().sum().backward()
    gradient = model[0].weight.grad.flatten(1).clone()
    optimizer.step()
    moved = [p.detach() - b for p, b in zip(model.parameters(), before, strict=True)]
    evenness = [
        float(values.median() / values.max())
        for values in map(torch.linalg.svdvals, (gradient, moved[0].flatten(1)))
    ]
    assert evenness[1] > 4 * evenness[0]
    # Its entries are about as large as those of AdamW's steps, 0.2 of the rate; less
    # here, where most directions begin at nearly nothing.
    assert 0.2 * 0.002 < moved[0].square().mean().sqrt() < 1.2 * 0.002
    # The narrow one and the biases move as AdamW moves them first: by the rate.
    for other in moved[1:]:
        torch.testing.assert_close(other.abs(), torch.full_like(other, 0.01))


def test_its_state_can_be_saved_and_read_back():
    torch.manual_seed(0)
    model = nn.Conv2d(16, 16, 3)
    optimizer = Muon(model, lr=0.01, weight_decay=0.1)
    x = torch.randn(2, 16, 8, 8)

    def step():
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    step()
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    state = copy.deepcopy(optimizer.state_dict())
    step()
    expected = model.weight.detach().clone()
    model.load_state_dict(weights)
    optimizer = Muon(model, lr=0.01, weight_decay=0.1)
    optimizer.load_state_dict(state)
    step()
    torch.testing.assert_close(model.weight, expected)
