"""What is kept of encoded frames, and who is served from it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from micro import micro_model, moving_disc

from sam2_core.errors import PromptError
from sam2_core.stacks import features
from sam2_core.stacks.features import FeatureCache, default_cache_bytes
from sam2_core.video import VideoSession

FRAMES = moving_disc(8)
CLICK = {"point_coords": [[20, 20]]}


class Encoder:
    """A model that counts how often it encodes."""

    def __init__(self, **options):
        self.model = micro_model(**options)
        self.calls = 0
        encode = self.model.encode_image

        def counted(pixels):
            self.calls += 1
            return encode(pixels)

        self.model.encode_image = counted


@pytest.fixture(params=[False, True], ids=["plain", "guided"])
def encoder(request):
    return Encoder(guided=request.param)


@pytest.fixture
def source():
    read = []

    def frame(index):
        read.append(index)
        return FRAMES[index]

    return SimpleNamespace(frame=frame, read=read)


def test_the_least_recently_used_go_first(encoder, source):
    one = FeatureCache(encoder.model, source, cache_bytes=0)[0]
    tensors = [one.embedding, *one.high_res]
    if one.guide is not None:
        tensors.append(one.guide)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    kept = FeatureCache(encoder.model, source, cache_bytes=2 * size)
    source.read.clear()
    for index in (0, 1, 0, 2, 0, 1, 2):
        kept[index]
    # 1 goes when 2 comes since 0 was used later; then 2 goes when 1 comes.
    assert source.read == [0, 1, 2, 1, 2]
    assert (len(kept), kept.nbytes) == (2, 2 * size)
    assert 2 in kept
    assert 0 not in kept
    kept.clear()
    assert (len(kept), kept.nbytes) == (0, 0)
    kept[2]
    assert source.read[-1] == 2
    assert len(source.read) == 6


def test_a_second_pass_runs_no_encoder(encoder):
    session = VideoSession(encoder.model, FRAMES)
    session.add_prompts(3, 1, **CLICK)
    list(session.propagate())
    assert encoder.calls == len(FRAMES)
    list(session.propagate())
    session.add_prompts(5, 1, box=[10, 10, 30, 30])
    session.add_prompts(0, 2, **CLICK)
    list(session.propagate())
    assert encoder.calls == len(FRAMES)


def test_without_a_budget_only_the_latest_frame_is_kept(encoder):
    session = VideoSession(encoder.model, FRAMES, cache_bytes=0)
    session.add_prompts(3, 1, **CLICK)
    session.add_prompts(3, 2, **CLICK)
    assert encoder.calls == 1
    list(session.propagate(direction="forward"))
    assert encoder.calls == 5
    # What the objects look like on the prompted frame is known by now.
    list(session.propagate(direction="forward"))
    assert encoder.calls == 9
    session.cache_bytes = 10**9
    assert session.cache_bytes == 10**9
    for _ in range(2):  # the last frame is still there
        list(session.propagate(direction="forward"))
    assert encoder.calls == 12


def test_the_default_follows_the_free_memory(monkeypatch, encoder):
    cpu = torch.device("cpu")
    for free, expected in ((2**34, 2**31), (2**20, 2**27), (None, 2**27)):
        monkeypatch.setattr(features, "free_memory", lambda device, free=free: free)
        assert default_cache_bytes(cpu) == expected
    assert VideoSession(encoder.model, FRAMES).cache_bytes == 2**27


def test_a_negative_budget_is_refused(encoder):
    with pytest.raises(PromptError, match="cache_bytes"):
        VideoSession(encoder.model, FRAMES, cache_bytes=-1)
