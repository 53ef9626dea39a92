"""Compiled parts: as good as the plain ones, or not used."""

from __future__ import annotations

import shutil
import warnings

import numpy as np
import pytest
import torch
from micro import micro_model, moving_disc

from sam2_core.compiling import Checked, compile_parts
from sam2_core.models import load_model
from sam2_core.nn.closeup import MAPS, SeenObject
from sam2_core.video import VideoSession

CPU = torch.device("cpu")
FRAMES = moving_disc(4)


def pretend(monkeypatch, compiled):
    """A compiler that gives `compiled(plain)` and counts how often that runs."""
    calls = []

    def fake(plain, **options):
        def run(*args):
            calls.append(plain)
            return compiled(plain)(*args)

        return run

    monkeypatch.setattr(torch, "compile", fake)
    return calls


def masks(model):
    session = VideoSession(model, FRAMES)
    session.add_prompts(1, 1, point_coords=[[16, 20]])
    return [(r.frame_index, r.masks[1]) for r in session.propagate()]


def assert_same(found, expected):
    assert [t for t, _ in found] == [t for t, _ in expected]
    for (_, one), (_, other) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_shapes_are_checked_once_each(monkeypatch):
    calls = pretend(monkeypatch, lambda plain: plain)
    plain = []

    def double(x, times):
        plain.append(x.shape)
        return SeenObject(x * 2, x[0] * times, x)

    checked = Checked("doubling", double, CPU)
    with torch.inference_mode():
        for rows in (2, 2, 3, 2, 3):
            found = checked(torch.ones(rows, 2), 5)
            assert torch.equal(found.iou, torch.full((2,), 5.0))
    # Compiled or not it is the same function here: 5 calls and 2 checks.
    assert (len(calls), len(plain)) == (5, 7)
    assert not checked.gave_up


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: x * 1.01,
        lambda x: x * torch.nan,
        lambda x: x[:-1],
        lambda x: x.double(),
    ],
    ids=["far", "nan", "shape", "dtype"],
)
def test_a_compiler_that_is_wrong_is_not_used(monkeypatch, wrong):
    calls = pretend(monkeypatch, lambda plain: lambda x: [wrong(plain(x)[0])])
    checked = Checked("rows", lambda x: [x + 1], CPU)
    with torch.inference_mode():
        with pytest.warns(UserWarning, match="not used for the rows: .* differs"):
            (found,) = checked(torch.ones(3))
        assert torch.equal(found, torch.full((3,), 2.0))
        checked(torch.ones(3))
    assert checked.gave_up
    assert len(calls) == 1


def test_rounding_is_no_difference(monkeypatch):
    pretend(monkeypatch, lambda plain: lambda x: plain(x) * (1 + 1e-6))
    checked = Checked("rows", lambda x: x + 1, CPU)
    with torch.inference_mode():
        checked(torch.ones(3))
    assert not checked.gave_up


def test_scores_near_zero_may_differ_by_rounding_of_larger_ones(monkeypatch):
    pretend(monkeypatch, lambda plain: lambda x: plain(x) + 1e-2)
    checked = Checked("score", lambda x: x * 1e-3, CPU)
    with torch.inference_mode():
        checked(torch.ones(1).bfloat16())
        assert not checked.gave_up
        with pytest.warns(UserWarning, match="differs"):
            checked(torch.ones(1))  # what is much in float32 is not


def test_bfloat16_may_answer_in_float32(monkeypatch):
    pretend(monkeypatch, lambda plain: lambda x: plain(x) * 1.005)
    checked = Checked("rows", lambda x: x.float() * 100, CPU)
    with torch.inference_mode():
        checked(torch.ones(3).bfloat16())
        assert not checked.gave_up
        with pytest.warns(UserWarning, match="differs"):
            checked(torch.ones(3))


def test_without_a_compiler_everything_works_after_one_warning_a_part(monkeypatch):
    expected = masks(micro_model())

    def fails(plain):
        def run(*args):
            raise RuntimeError("No working C++ compiler found.\nSet CXX.")

        return run

    pretend(monkeypatch, fails)
    model = micro_model()
    keys = set(model.state_dict())
    parts = compile_parts(model)
    with pytest.warns(UserWarning, match="not used") as caught:
        found = masks(model)
    said = sorted(str(warning.message) for warning in caught)
    assert said == [
        f"torch.compile is not used for the {part}: RuntimeError: No working C++ "
        "compiler found."
        for part in ("image encoder", "memory attention")
    ]
    assert all(part.gave_up for part in parts.values())
    assert_same(found, expected)
    assert set(model.state_dict()) == keys


def test_errors_of_the_plain_code_are_raised(monkeypatch):
    pretend(monkeypatch, lambda plain: plain)

    def broken(x):
        raise MemoryError("too little")

    checked = Checked("rows", broken, CPU)
    with (
        torch.inference_mode(),
        pytest.warns(UserWarning, match="not used for the rows"),
        pytest.raises(MemoryError, match="too little"),
    ):
        checked(torch.ones(3))


def test_training_never_meets_the_compiler(monkeypatch):
    calls = pretend(monkeypatch, lambda plain: plain)
    Checked("rows", lambda x: x + 1, CPU)(torch.ones(3))
    assert calls == []


def test_a_model_is_compiled_only_on_request(monkeypatch):
    calls = pretend(monkeypatch, lambda plain: plain)
    image = torch.zeros(1, MAPS, 96, 96)
    with torch.inference_mode():
        load_model("sam2_nano", "cpu", "float32").closeup(image)
        assert calls == []
        load_model("sam2_nano", "cpu", "float32", compile=True).closeup(image)
    assert len(calls) == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_the_real_compiler_gives_the_same():
    torch.manual_seed(0)
    layer = torch.nn.Linear(8, 8)
    checked = Checked("layer", lambda x: [layer(x).relu() + 1], CPU)
    x = torch.randn(4, 8)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.filterwarnings("error", message="torch.compile is not used")
        (found,) = checked(x)
        assert not checked.gave_up
        torch.testing.assert_close(found, layer(x).relu() + 1)
