"""Attention in chunks against attention written out, and the layer that uses it."""

from __future__ import annotations

import pytest
import torch

from sam2_core.nn import chunked, memory_attention
from sam2_core.nn.memory_attention import MemoryAttention, RotaryAttention

GRID = (5, 7)


def plain(q, k, v):
    scores = q.double() @ k.double().transpose(1, 2) / q.shape[-1] ** 0.5
    return scores.softmax(-1) @ v.double()


@pytest.mark.parametrize(("batch", "queries"), [(1, 1), (3, 3), (3, 1)])
@pytest.mark.parametrize("chunk", [4, 1000])
def test_chunks_make_no_difference(monkeypatch, batch, queries, chunk):
    torch.manual_seed(0)
    monkeypatch.setattr(chunked, "QUERIES", chunk)
    q, k = torch.randn(queries, 11, 16), torch.randn(batch, 30, 16)
    v = torch.randn(batch, 30, 6)
    with torch.inference_mode():
        found = chunked.attend(q, k, v)
    torch.testing.assert_close(found.double(), plain(q, k, v), rtol=0, atol=1e-5)


def test_scores_of_rows_that_need_no_filling_up():
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 2 * chunked.ROW, 16) for _ in range(3))
    with torch.inference_mode():
        found = chunked.attend(q, k, v)
    torch.testing.assert_close(found.double(), plain(q, k, v), rtol=0, atol=1e-5)


@pytest.mark.parametrize("queries", [5, 1])
@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_short_sequences_are_products_of_several(monkeypatch, queries, at_once):
    torch.manual_seed(0)
    q, k = torch.randn(queries, 6, 16), torch.randn(5, 9, 16)
    v = torch.randn(5, 9, 8)
    monkeypatch.setattr(chunked, "SCORES", at_once * 6 * 9)
    made = []
    multiply = torch.bmm
    monkeypatch.setattr(torch, "bmm", lambda *x: made.append(len(x[0])) or multiply(*x))
    with torch.inference_mode():
        found = chunked.attend(*(x.bfloat16() for x in (q, k, v)))
    torch.testing.assert_close(found.double(), plain(q, k, v), rtol=0, atol=0.03)
    assert sum(made) == 2 * 5  # scores and sums
    assert max(made) == min(at_once, 5)


def test_chunks_are_larger_with_amx(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(chunked, "QUERIES", 4)
    monkeypatch.setattr(chunked, "AMX_QUERIES", 8)
    q, k, v = (torch.randn(1, 20, 16).bfloat16() for _ in range(3))
    multiply = torch.mm
    for amx, most in ((True, 8), (False, 4)):
        made = []
        monkeypatch.setattr(chunked, "_has_amx", lambda amx=amx: amx)
        monkeypatch.setattr(
            torch,
            "mm",
            lambda *x, made=made, **to: made.append(len(x[0])) or multiply(*x, **to),
        )
        with torch.inference_mode():
            found = chunked.attend(q, k, v)
        torch.testing.assert_close(found.double(), plain(q, k, v), rtol=0, atol=0.03)
        assert max(made) == most


def test_heads_may_lie_interleaved():
    torch.manual_seed(0)
    q, k, v = torch.randn(1, 9, 3, 4, 8).unbind(2)  # tokens, then heads
    heads = [x.transpose(1, 2).flatten(0, 1) for x in (q, k, v)]
    with torch.inference_mode():
        found = chunked.attend(*heads)
    torch.testing.assert_close(found.double(), plain(*heads), rtol=0, atol=1e-5)


def test_where_it_pays(monkeypatch):
    q = torch.zeros(1, 2, 4)
    assert not chunked.pays_off(q, True)  # gradients are wanted
    with torch.inference_mode():
        assert chunked.pays_off(q, True)
        assert not chunked.pays_off(q, False)
        assert not chunked.pays_off(torch.zeros(1, 2, 4, device="meta"), True)
        for amx in (True, False):
            monkeypatch.setattr(chunked, "_has_amx", lambda amx=amx: amx)
            assert chunked.pays_off(q.bfloat16(), False) != amx
            assert chunked.pays_off(q.bfloat16(), True)


@pytest.mark.parametrize("faster", [True, False])
@pytest.mark.parametrize("kv_dim", [None, 8])
@pytest.mark.parametrize("unplaced", [0, 4])
def test_the_fast_ways_equal_the_one_with_gradients(
    monkeypatch, faster, kv_dim, unplaced
):
    torch.manual_seed(0)
    layer = RotaryAttention(16, 1, 16, kv_dim=kv_dim)
    tokens = GRID[0] * GRID[1]
    q = torch.randn(1, tokens, 16)
    k, v = (torch.randn(3, 2 * tokens + unplaced, kv_dim or 16) for _ in range(2))
    expected = layer.forward_grid(q, k, v, GRID, unplaced)
    assert expected.requires_grad
    monkeypatch.setattr(memory_attention, "pays_off", lambda q, narrower: faster)
    with torch.inference_mode():
        found = layer.forward_grid(q, k, v, GRID, unplaced)
    torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-5)


def test_bfloat16_stays_close_to_float32():
    torch.manual_seed(0)
    layer = MemoryAttention(32, 8, 64, 2)
    tokens = GRID[0] * GRID[1]
    inputs = [torch.randn(1, tokens, 32), torch.randn(1, tokens, 32)]
    inputs += [torch.randn(2, 2 * tokens + 4, 8) for _ in range(2)]
    with torch.inference_mode():
        exact = layer(*inputs, GRID, 4)
        rounded = layer.bfloat16()(*(x.bfloat16() for x in inputs), GRID, 4)
    assert (exact - rounded.float()).abs().max() < 0.1
    assert (exact - rounded.float()).abs().mean() < 0.01
