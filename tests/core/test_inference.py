"""What holds while the network runs, and what is put back afterwards."""

from __future__ import annotations

from threading import Event, Thread

import pytest
import torch

from sam2_core.errors import InferenceError
from sam2_core.inference import inference

enabled = torch.backends.cuda.cudnn_sdp_enabled


@pytest.fixture(autouse=True)
def _as_it_was():
    before = enabled()
    yield
    torch.backends.cuda.enable_cudnn_sdp(before)


@pytest.mark.parametrize("before", [True, False])
def test_attention_that_plans_for_every_length_is_left_out(before):
    torch.backends.cuda.enable_cudnn_sdp(before)
    with inference():
        with inference():
            assert not enabled()
        assert not enabled()
    assert enabled() is before


def test_it_comes_back_after_an_error():
    torch.backends.cuda.enable_cudnn_sdp(True)
    with pytest.raises(InferenceError), inference():
        raise RuntimeError("lost")
    assert enabled()


def test_the_last_of_several_threads_brings_it_back():
    torch.backends.cuda.enable_cudnn_sdp(True)
    inside, done = Event(), Event()

    def work():
        with inference():
            inside.set()
            done.wait(10)

    other = Thread(target=work)
    with inference():
        other.start()
        assert inside.wait(10)
    assert not enabled()  # the other one is still at work
    done.set()
    other.join()
    assert enabled()
