"""Low-rank changes of a network, and the other network that they make of it."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from sam2_core.nn.changes import Changes, raised
from sam2_core.nn.closeup import MAPS, CloseUp


class Small(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.wide = nn.Linear(30, 20)
        self.last = nn.Linear(20, 2)

    def forward(self, x):
        return self.last(self.wide(x))


def rank(matrix: torch.Tensor) -> int:
    return int(torch.linalg.matrix_rank(matrix, atol=1e-5))


def test_what_is_large_is_changed_by_narrow_matrices():
    changes = Changes(Small(0), rank=3)
    assert {name: tuple(p.shape) for name, p in changes.named_parameters()} == {
        "up.wide-weight": (20, 3),
        "down.wide-weight": (3, 30),
        "whole.wide-bias": (20,),
        "whole.last-weight": (2, 20),
        "whole.last-bias": (2,),
    }


def test_at_first_nothing_is_changed():
    network = Small(0)
    made = Changes(network, 3).applied(network)
    for name, value in made.named_parameters():
        assert torch.equal(value, network.get_parameter(name)), name


def test_another_network_is_approached_as_nearly_as_the_rank_allows():
    network, goal = Small(0), Small(1)
    changes = Changes(network, rank=3)
    changes.approach(network, goal)
    made = changes.applied(network)
    for name in ("wide.bias", "last.weight", "last.bias"):
        torch.testing.assert_close(made.get_parameter(name), goal.get_parameter(name))
    assert rank((made.wide.weight - network.wide.weight).detach()) == 3
    # No matrix of that rank is nearer than what the three largest values leave.
    change = (goal.wide.weight - network.wide.weight).detach()
    left = torch.linalg.svdvals(change)[3:]
    found = (goal.wide.weight - made.wide.weight).detach().norm()
    assert float(found) == pytest.approx(float(left.norm()), rel=1e-4)
    # A change of that rank is kept whole.
    changes.approach(network, copy.deepcopy(made))
    torch.testing.assert_close(changes.applied(network).wide.weight, made.wide.weight)


@pytest.mark.parametrize("part", ["network", "changes"])
def test_the_other_network_is_made_once_and_again_after_a_change(part):
    network = Small(0)
    changes = Changes(network, 3)
    made = changes.applied(network)
    assert changes.applied(network) is made
    with torch.no_grad():
        if part == "network":
            network.last.bias += 1
        else:
            changes.whole["last-bias"] += 1
    again = changes.applied(network)
    torch.testing.assert_close(again.last.bias, made.last.bias + 1)
    moved = changes.to(torch.float64).applied(network.to(torch.float64))
    assert moved.last.bias.dtype == torch.float64


def test_what_is_kept_whole_can_be_put():
    network = Small(0)
    changes = Changes(network, 3)
    changes.put(network, "last.bias", torch.tensor([5.0, -2.0]))
    assert changes.applied(network).last.bias.tolist() == [5.0, -2.0]


@pytest.mark.parametrize("rank", [5, 12])  # 12 is no fewer numbers than all
def test_changes_of_a_lower_rank_are_read_as_those_of_a_higher_one(rank):
    network, goal = Small(0), Small(1)
    lower, higher = Changes(network, 3), Changes(network, rank)
    lower.approach(network, goal)
    wanted = {k: tuple(v.shape) for k, v in higher.state_dict().items()}
    state = raised({"other": torch.ones(1)} | lower.state_dict(), wanted)
    assert torch.equal(state.pop("other"), torch.ones(1))
    higher.load_state_dict(state)
    new, old = higher.weights(network), lower.weights(network)
    for name in old:
        torch.testing.assert_close(new[name], old[name])


def test_what_fits_or_is_something_else_is_left_for_others_to_refuse():
    changes = Changes(Small(0), 3)
    state = changes.state_dict()
    wanted = {k: tuple(v.shape) for k, v in state.items()}
    assert all(v is state[k] for k, v in raised(state, wanted).items())
    broken = state | {"up.wide-weight": torch.zeros(7)}
    assert raised(broken, wanted)["up.wide-weight"].shape == (7,)
    # A pair that makes no matrix is not multiplied where the whole one is wanted.
    unlike = {"up.last-weight": torch.zeros(9), "down.last-weight": torch.zeros(3, 20)}
    unlike |= {k: v for k, v in state.items() if k != "whole.last-weight"}
    assert raised(unlike, wanted).keys() == unlike.keys()
    higher = state | {"up.wide-weight": torch.zeros(20, 9)}
    assert raised(higher, wanted)["up.wide-weight"].shape == (20, 9)


def test_gradients_reach_changes_and_network():
    network, goal = Small(0), Small(1)
    changes = Changes(network, 3)
    changes.approach(network, goal)
    sum(w.sum() for w in changes.weights(network).values()).backward()
    for parameter in (*network.parameters(), *changes.parameters()):
        assert parameter.grad.abs().sum() > 0


def test_close_ups_answer_first_with_the_changed_network():
    torch.manual_seed(0)
    network, goal = CloseUp(first_rank=4).eval(), CloseUp().eval()
    assert goal.for_first_answers() is goal
    network.first.approach(network, goal)
    made = network.for_first_answers()
    assert made.first is None
    torch.testing.assert_close(made.draw.weight, goal.draw.weight)
    maps = torch.randn(1, MAPS, 32, 32)
    with torch.no_grad():
        assert not torch.allclose(made(maps).logits, network(maps).logits)


def test_a_compiled_network_does_not_pass_for_the_other_one():
    network = CloseUp(first_rank=4).eval()
    network.forward = lambda maps: pytest.fail("this is the compiled one")
    with torch.no_grad():
        network.for_first_answers()(torch.randn(1, MAPS, 32, 32))


def test_copies_change_by_themselves():
    network = CloseUp(first_rank=4)
    network.for_first_answers()
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.first.whole["draw-bias"] += 1
    one, two = (n.for_first_answers().draw.bias for n in (network, other))
    torch.testing.assert_close(two, one + 1)
