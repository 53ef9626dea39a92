"""The benchmarks' common parts; the benchmarks themselves take minutes."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def harness(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    sys.modules.pop("harness", None)
    import harness

    yield harness
    sys.modules.pop("harness", None)


def test_contestants_take_turns_and_medians_are_reported(harness):
    order = []
    ticks = iter([0, 1, 1, 5, 5, 7, 10, 14, 14, 15, 15, 21])
    clock = harness.Clock(lambda: next(ticks))
    jobs = {name: lambda name=name: order.append(name) for name in "ab"}
    medians = clock.take_turns(jobs, repeats=3)
    assert order == ["a", "b"] * 4  # the first round warms up
    assert clock.seconds == {"a": [1, 2, 1], "b": [4, 4, 6]}
    assert medians == {"a": 1, "b": 4}


def test_pages_hold_the_table_the_plot_and_the_machine(harness, tmp_path, capsys):
    options = argparse.Namespace(
        out=tmp_path, threads=1, clock="cpu", model="sam2_nano", dtypes=["float32"]
    )
    rows = [{"engine": "ours", "seconds": 0.12345}, {"engine": "other", "seconds": 2.0}]
    curves = {"ours": [(1, 0.1), (5, 0.3)], "other": [(1, 2.0)]}
    harness.save("x", "A title", options, rows, curves, ("n", "s"), ["a note"])
    page = (tmp_path / "x.md").read_text()
    assert "| ours | 0.123 |" in page
    assert "![A title](x.svg)" in page
    assert "- a note" in page
    assert "others used the machine" in page
    assert json.loads((tmp_path / "x.json").read_text())["rows"] == rows
    plot = ElementTree.parse(tmp_path / "x.svg").getroot()
    lines = [line for line in plot.iter() if line.tag.endswith("polyline")]
    assert len(lines) == 3  # axes and two curves
    assert "| other | 2 |" in capsys.readouterr().out


def test_cells_are_where_they_are_said_to_be(harness):
    frames = harness.stack(2, side=96, cells=9)
    assert frames.shape == (2, 96, 96)
    for row, column in harness.centres(96, 9):
        assert frames[0, round(row), round(column)] == 210
    assert np.mean(frames == 210) < 0.5


def test_weights_are_renamed_one_to_one(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import torch
    from transformers_opponent import renamed

    from sam2_core.models import build_model

    with torch.device("meta"):
        weights = build_model("sam2.1_hiera_tiny").state_dict()
    names = renamed(weights)
    # Four points become one table, one matrix is needed twice.
    assert len(names) == len(weights) - 3 + 1
    assert names["prompt_encoder.point_embed.weight"].shape == (4, 256)
    downsampler = "memory_encoder.mask_downsampler"
    for name, shape in {
        "vision_encoder.backbone.blocks.1.mlp.proj_out.weight": (192, 768),
        "vision_encoder.neck.convs.3.weight": (256, 96, 1, 1),
        f"{downsampler}.layers.3.conv.weight": (256, 64, 3, 3),
        f"{downsampler}.layers.3.layer_norm.weight": (256,),
        f"{downsampler}.final_conv.weight": (256, 256, 1, 1),
        "mask_decoder.output_hypernetworks_mlps.2.proj_out.weight": (32, 256),
        "memory_attention.layers.3.cross_attn_image.o_proj.weight": (256, 256),
        "shared_image_embedding.positional_embedding": (2, 128),
        "object_pointer_proj.layers.0.bias": (256,),
    }.items():
        assert names[name].shape == shape
    left = [name for name in names if "norm" in name and "layer_norm" not in name]
    assert not left


def test_benchmarks_do_not_stand_in_for_packages(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("click", "opponents"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import opponents  # noqa: F401

    found = importlib.util.find_spec("click")
    assert FOLDER not in Path(found.origin).parents


def test_opponents_that_cannot_run_are_named_with_a_reason(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import opponents

    monkeypatch.setattr(opponents.importlib.util, "find_spec", lambda name: None)
    options = argparse.Namespace(
        model="sam2_nano", dtypes=["float32"], skip=["sam2"], device="cpu"
    )
    found, notes = opponents.entries(options)
    assert len(found) == 1
    assert notes == ["sam2: left out on request", "transformers: not installed"]
