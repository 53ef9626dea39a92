"""Attention for CPUs: scores of a few queries at a time, values left narrow.

Of short sequences, such as windows of the trunk, many are worked on at a time.

`scaled_dot_product_attention` wants values as wide as keys, and on processors with
bfloat16 instructions but without AMX it multiplies bfloat16 no faster than float32.
Plain matrix products do neither. With AMX it is the faster one where values are wide.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Scores of so many queries stay in the cache of a core until they have been used.
QUERIES = 256
AMX_QUERIES = 512  # products are so fast there that larger ones outweigh the cache
ROW = 64
# So many scores of short sequences are made at a time.
SCORES = 2**21


def pays_off(queries: Tensor, narrower: bool) -> bool:
    """Whether :func:`attend` is faster than torch's own attention, as measured.

    Parameters
    ----------
    queries : Tensor
        What is about to attend.
    narrower : bool
        Whether the values are narrower than the keys.
    """
    # Gradients need torch's own: in-place results have none.
    if queries.device.type != "cpu" or torch.is_grad_enabled():
        return False
    if queries.dtype == torch.bfloat16:
        return narrower or not _has_amx()
    return narrower and queries.dtype == torch.float32


def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Softmax attention with one head.

    Parameters
    ----------
    queries : Tensor
        (B or 1, Lq, C).
    keys : Tensor
        (B, Lk, C).
    values : Tensor
        (B, Lk, M); M may differ from C.

    Returns
    -------
    Tensor
        (B, Lq, M).
    """
    batch, length = len(keys), queries.shape[1]
    queries = queries * queries.shape[2] ** -0.5
    # Products of what lies scattered are slower, by more than a copy takes.
    keys, values = keys.contiguous(), values.contiguous()
    narrow = queries.dtype == torch.bfloat16
    if narrow and length <= QUERIES:
        return _attend_together(queries.expand(batch, -1, -1), keys, values)
    out = values.new_empty(batch, length, values.shape[2])
    # One place for all scores: memory fresh from the system costs as much as a product,
    # and products are a third slower where rows do not begin at multiples of 64 bytes.
    count = keys.shape[1]
    at_once = AMX_QUERIES if narrow and _has_amx() else QUERIES
    scratch = queries.new_empty(min(at_once, length), -(-count // ROW) * ROW)
    for row in range(batch):
        own = queries[row if len(queries) > 1 else 0]
        turned = keys[row].t()
        for first in range(0, length, at_once):
            part = slice(first, first + at_once)
            padded = scratch[: len(own[part])]
            scores = padded[:, :count]
            torch.mm(own[part], turned, out=scores)
            padded[:, count:] = -torch.inf
            torch.softmax(padded, dim=-1, out=padded)
            torch.mm(scores, values[row], out=out[row, part])
    return out


def _attend_together(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Many short sequences at a time."""
    at_once = max(1, SCORES // (queries.shape[1] * keys.shape[1]))
    parts = []
    groups = (torch.split(x, at_once) for x in (queries, keys, values))
    for q, k, v in zip(*groups, strict=True):
        scores = torch.bmm(q, k.transpose(1, 2))
        parts.append(torch.bmm(torch.softmax(scores, dim=-1, out=scores), v))
    return torch.cat(parts)


def _has_amx() -> bool:
    # Private in torch, so it may vanish; then nothing is lost but speed.
    question = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(question()) if callable(question) else False
