"""Following in windows, beside following on the whole frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from micro import micro_model, moving_disc

from sam2_core import PromptError, VideoSession
from sam2_core.cell_windows import CellWindow, crop_features
from sam2_core.stacks import tracking
from sam2_core.stacks.local_tracker import LocalTracker

FRAMES = moving_disc(8)


def disc(t: int) -> np.ndarray:
    y, x = np.mgrid[:40, :56]
    return (y - 20) ** 2 + (x - 12 - 4 * t) ** 2 < 9


def session_of(model, scope="local", objects=1):
    session = VideoSession(model, FRAMES, scope=scope)
    for object_id in range(1, objects + 1):
        session.add_prompts(0, object_id, mask=disc(object_id - 1))
    return session


def draws(monkeypatch, answer):
    """Lets a stand-in say what is found; returns the windows that were looked at.

    `answer` is given the cells that are looked at, or None, and returns (h, w) logits.
    """
    looked = []
    segment = tracking.segment

    def found(model, features, embedding, *args, **options):
        memory = segment(model, features, embedding, *args, **options)
        rows = []
        for row in range(len(memory.logits)):
            cells = None if features.cells is None else features.cells[row]
            looked.append(None if cells is None else (int(cells[0, 0]), len(cells)))
            rows.append(answer(cells))
        memory.logits[:, 0] = torch.stack(rows)
        memory.object_score[:] = 5
        return memory

    monkeypatch.setattr(tracking, "segment", found)
    return looked


def seen_of(whole: torch.Tensor, cells: torch.Tensor | None) -> torch.Tensor:
    """The part of (4g, 4g) logits that a window shows."""
    if cells is None:
        return whole
    grid = whole.shape[0] // 4
    row, column = divmod(int(cells[0, 0]), grid)
    return CellWindow(row, column, len(cells)).part(whole, 4)


@pytest.mark.parametrize("guided", [False, True])
def test_windows_that_are_the_whole_frame_find_the_same(guided):
    model = micro_model(guided=guided)
    session = session_of(model, "global", objects=3)
    list(session.propagate(stop=5))
    banks = [known.bank for known in session._objects.values()]
    recollections = [bank.recall(6, 8, model.config) for bank in banks]
    features = session._features[6]
    whole = [CellWindow(0, 0, 8)] * 3
    with torch.inference_mode():
        expected = tracking.segment(
            model,
            features,
            tracking.look(model, features, recollections),
            previous=tracking.last_logits(model, recollections),
        )
        for known in recollections:
            object.__setattr__(known, "windows", (whole[0],) * len(known.spatial))
        seen = crop_features(features, whole, 8)
        found = tracking.segment(
            model,
            seen,
            tracking.look(model, seen, recollections),
            previous=tracking.last_logits(model, recollections),
        )
    for name in ("logits", "iou", "object_score", "pointer"):
        torch.testing.assert_close(
            getattr(found, name), getattr(expected, name), rtol=0, atol=1e-4
        )


def test_tokens_of_a_window_keep_their_places():
    """What reads single cells, in any order, finds what the whole frame finds there."""
    model = micro_model().double()
    attention = model.memory_attention.layers[0].cross_attn_image
    x, k = torch.randn(1, 64, 32).double(), torch.randn(1, 70, 8).double()
    cells = CellWindow(3, 2, 4).cells(8).flatten()[None]
    kept = torch.randperm(64)[None]
    moved = torch.cat((k[:, :64][:, kept[0]], k[:, 64:]), 1)
    for grad in (False, True):
        with torch.set_grad_enabled(grad):
            whole = attention.forward_grid(x, k, k, (8, 8), 6)
            part = attention.forward_grid(
                x[:, cells[0]], moved, moved, (8, 8), 6, cells, kept
            )
        torch.testing.assert_close(part, whole[:, cells[0]], rtol=0, atol=1e-5)


def test_without_words_nothing_changes():
    model = micro_model()
    assert not isinstance(VideoSession(model, FRAMES)._tracker, LocalTracker)
    usual, asked = (
        [result.masks[1] for result in session.propagate()]
        for session in (VideoSession(model, FRAMES), session_of(model, "global"))
        if session.add_prompts(0, 1, mask=disc(0))
    )
    np.testing.assert_array_equal(usual, asked)


def test_small_objects_are_looked_for_where_they_were(monkeypatch):
    whole = torch.full((64, 64), -5.0)
    whole[30:34, 30:34] = 5
    session = session_of(micro_model(image_size=256))
    looked = draws(monkeypatch, lambda cells: seen_of(whole, cells))
    list(session.propagate(stop=4, direction="forward"))
    # The mask is one cell wide, which takes the smallest window: four of 16 cells.
    assert looked[-3:] == [(6 * 16 + 6, 4)] * 3
    memory = session._objects[1].bank.find(4)
    assert memory.window == CellWindow(6, 6, 4)
    assert memory.spatial.shape[-1] == memory.window.side
    assert memory.logits.shape == (1, 1, 64, 64)
    assert (memory.logits > 0).sum() == 16


def test_windows_grow_where_the_mask_reaches_their_border(monkeypatch):
    whole = torch.full((32, 32), -5.0)
    whole[10:26, 10:26] = 5
    looked = draws(monkeypatch, lambda cells: seen_of(whole, cells))
    session = session_of(micro_model())
    list(session.propagate(stop=1, direction="forward"))
    sides = [8 if at is None else at[1] for at in looked]
    assert sides == sorted(sides)
    assert len(sides) > 1
    memory = session._objects[1].bank.find(1)
    assert (memory.logits > 0).sum() == 256  # all of it was found


def test_lost_objects_are_looked_for_in_the_whole_frame(monkeypatch):
    whole = torch.full((32, 32), -5.0)
    whole[0:2, 28:30] = 5  # far from the disc
    looked = draws(monkeypatch, lambda cells: seen_of(whole, cells))
    session = session_of(micro_model())
    list(session.propagate(stop=1, direction="forward"))
    assert looked[-1] is None
    assert len(looked) == 2
    memory = session._objects[1].bank.find(1)
    assert memory.window.row == 0
    assert memory.window.column == 6


def test_objects_in_windows_of_a_size_are_one_batch(monkeypatch):
    whole = torch.full((64, 64), -5.0)
    whole[30:34, 30:34] = 5
    draws(monkeypatch, lambda cells: seen_of(whole, cells))
    sizes = []
    look = tracking.look

    def counted(model, features, recollections):
        sizes.append(len(recollections))
        return look(model, features, recollections)

    session = session_of(micro_model(image_size=256), objects=3)
    monkeypatch.setattr(tracking, "look", counted)
    list(session.propagate(start=3, stop=5, direction="forward"))
    assert sizes[-1] == 3


@pytest.mark.parametrize("guided", [False, True])
def test_corrections_and_both_directions(guided):
    session = session_of(micro_model(guided=guided), objects=2)
    list(session.propagate())
    session.add_prompts(4, 1, point_coords=[(28, 20)])
    changed = list(session.propagate(only_changed=True))
    assert {result.frame_index for result in changed} >= {4}


def test_unknown_scopes():
    with pytest.raises(PromptError, match='"global" or "local"'):
        VideoSession(micro_model(), FRAMES, scope="near")
