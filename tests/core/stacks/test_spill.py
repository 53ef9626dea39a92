"""Encoded frames that memory has no room for: on disk, and back without the encoder."""

from __future__ import annotations

import gc
import warnings

import numpy as np
import pytest
import torch
from micro import micro_model, moving_disc

from sam2_core.errors import PromptError
from sam2_core.nn.sam2 import ImageFeatures
from sam2_core.stacks.spill import FeatureStore
from sam2_core.video import VideoSession

FRAMES = moving_disc(8)


def features(seed, dtype=torch.float32, guided=False):
    torch.manual_seed(seed)
    one, two, three = (torch.randn(1, 4, n, n).to(dtype) for n in (2, 8, 4))
    return ImageFeatures(one, (two, three), torch.randn(1, 3, 8, 8) if guided else None)


def tensors(found):
    return [found.embedding, *found.high_res, found.guide]


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("guided", [False, True])
def test_what_comes_back_is_what_went_in_bit_for_bit(tmp_path, dtype, guided):
    store = FeatureStore(tmp_path)
    for index in (3, 5):
        store.put(index, features(index, dtype, guided))
    assert 4 not in store
    assert store.get(4) is None
    for index in (5, 3):
        found, expected = store.get(index), features(index, dtype, guided)
        for one, other in zip(tensors(found), tensors(expected), strict=True):
            if other is None:
                assert one is None
                continue
            assert one.dtype == other.dtype
            assert torch.equal(one, other)
    assert store.nbytes == 2 * features(0, dtype, guided).nbytes


def test_the_budget_bounds_what_is_on_the_disk(tmp_path):
    size = features(0).nbytes
    store = FeatureStore(tmp_path, max_bytes=2 * size + 1)
    for index in range(3):
        store.put(index, features(index))
        store.get(0)  # so 1 is the one to go
    assert (0 in store, 1 in store, 2 in store) == (True, False, True)
    assert torch.equal(store.get(2).embedding, features(2).embedding)
    rows = [path for path in files(tmp_path) if not path.name.startswith(".z")]
    assert sum(path.stat().st_size for path in rows) == 2 * size
    small = FeatureStore(tmp_path, max_bytes=size - 1)
    small.put(0, features(0))
    assert len(small) == 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_second_pass_runs_no_encoder_and_gives_the_same_masks(tmp_path, dtype):
    model = micro_model().to(getattr(torch, dtype))
    calls = []
    encode = model.encode_image
    model.encode_image = lambda pixels: calls.append(1) or encode(pixels)

    def passes(**options):
        session = VideoSession(model, FRAMES, **options)
        session.add_prompts(3, 1, point_coords=[[20, 20]])
        found = []
        for _ in range(2):
            calls.clear()
            found += [(r.frame_index, r.masks[1]) for r in session.propagate()]
        return found, len(calls)

    kept, _ = passes()
    spilled, second = passes(cache_bytes=0, spill=tmp_path)
    assert second == 0
    assert [t for t, _ in spilled] == [t for t, _ in kept]
    assert any(mask.any() for _, mask in kept)
    for (_, one), (_, other) in zip(spilled, kept, strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_is_left_behind_and_nothing_made_without_need(tmp_path):
    folder = tmp_path / "new" / "folder"
    session = VideoSession(micro_model(), FRAMES, cache_bytes=0, spill=folder)
    session.frame_features(0)
    assert not folder.exists()
    session.frame_features(1)
    assert len(list(folder.iterdir())) == 1
    (folder / "mine.txt").write_text("stays")
    del session
    gc.collect()
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_a_frame_that_has_not_been_written_whole_is_never_read(tmp_path, monkeypatch):
    store = FeatureStore(tmp_path)
    store.put(0, features(0))

    class Full:
        shape = store._rows.shape

        def __setitem__(self, row, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "_rows", Full())
    with pytest.warns(UserWarning, match=r"encoded again .* No space left") as caught:
        store.put(1, features(1))
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    assert store.get(0) is None
    assert store.get(1) is None
    assert list(tmp_path.iterdir()) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store.put(2, features(2))  # said once
    assert len(store) == 0


@pytest.mark.parametrize("harm", ["cut", "gone", "changed"])
def test_damage_on_the_disk_is_noticed_and_the_work_goes_on(tmp_path, harm):
    session = VideoSession(micro_model(), FRAMES, cache_bytes=0, spill=tmp_path)
    expected = session.frame_features(0).embedding
    session.frame_features(1)
    (row,) = (path for path in files(tmp_path) if not path.name.startswith(".z"))
    if harm == "gone":
        row.unlink()
    else:
        data = row.read_bytes()
        row.write_bytes(data[:-5] if harm == "cut" else b"??" + data[2:])
    with pytest.warns(UserWarning, match="cannot be read"):
        found = session.frame_features(0)
    assert torch.equal(found.embedding, expected)
    assert list(tmp_path.iterdir()) == []
    session.frame_features(2)


def test_a_folder_that_cannot_be_made_is_a_warning(tmp_path):
    taken = tmp_path / "file"
    taken.write_text("")
    session = VideoSession(micro_model(), FRAMES, cache_bytes=0, spill=taken)
    session.frame_features(0)
    with pytest.warns(UserWarning, match="no more encoded frames are kept"):
        session.frame_features(1)
    session.frame_features(0)


def test_a_negative_budget_is_refused(tmp_path):
    with pytest.raises(PromptError, match="spill_bytes is -1"):
        VideoSession(micro_model(), FRAMES, spill=tmp_path, spill_bytes=-1)
