from __future__ import annotations

import copy
import hashlib
import json
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sam2_core import config, models, registry
from sam2_core.errors import CheckpointError, InferenceError
from sam2_core.models import build_model, load_model
from sam2_core.nn.changes import Changes
from sam2_core.nn.closeup import CloseUp
from sam2_core.nn.sam2 import Sam2
from sam2_core.weights import read_state_dict, save_state_dict, save_weights

KEYS = Path(__file__).parents[1] / "data" / "keys"
NANO = config.NANO.name
TINY = "sam2.1_hiera_tiny"


@pytest.fixture(scope="module")
def nano():
    torch.manual_seed(0)
    model = build_model(NANO)
    with torch.no_grad():
        for parameter in model.parameters():  # also those that start as zeros
            parameter.copy_(torch.randn_like(parameter) / 8)
    return model


@pytest.fixture(scope="module")
def nano_file(nano, tmp_path_factory):
    return save_weights(tmp_path_factory.mktemp("w") / "nano.safetensors", nano)


def install(name: str, content: bytes, monkeypatch: pytest.MonkeyPatch, folder: Path):
    """Put a file into the cache as if it were the official one."""
    monkeypatch.setenv("NAPARI_SAM2_HOME", str(folder))
    entry = replace(
        registry.CHECKPOINTS[name],
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    monkeypatch.setitem(registry.CHECKPOINTS, name, entry)
    registry.model_path(name).write_bytes(content)


@pytest.mark.parametrize("path", sorted(KEYS.glob("*.json")), ids=lambda p: p.stem)
def test_state_dict_has_the_official_keys_and_shapes(path):
    with torch.device("meta"), models._WithoutInit():
        model = build_model(path.stem)
    shapes = {key: list(tensor.shape) for key, tensor in model.state_dict().items()}
    assert shapes == json.loads(path.read_text())


def test_all_eight_official_variants_are_compared():
    names = {path.stem for path in KEYS.glob("*.json")}
    assert names == set(config.VARIANTS) - {NANO}


def test_built_model_is_random_and_trainable(nano):
    assert nano.training
    assert nano.config == config.VARIANTS[NANO]
    assert nano.device == torch.device("cpu")
    assert all(parameter.requires_grad for parameter in nano.parameters())
    weight = nano.image_encoder.trunk.patch_embed.proj.weight
    assert weight.std() > 0


def test_unknown_name():
    with pytest.raises(CheckpointError, match=r"no model called 'sam3'.*sam2_nano"):
        build_model("sam3")
    with pytest.raises(CheckpointError, match=r"no model called 'sam3'.*sam2_nano"):
        load_model("sam3")


def test_an_empty_name_is_no_model() -> None:
    with pytest.raises(CheckpointError, match="name of the model is empty"):
        load_model("", device="cpu")


def test_saved_model_comes_back(nano, nano_file):
    model = load_model(nano_file, device="cpu", dtype="float32")
    assert model.config == nano.config
    assert model.dtype == torch.float32
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    buffers = {name for name, _ in nano.named_buffers()}
    loaded = model.state_dict()
    for key, tensor in nano.state_dict().items():
        expected = tensor if key in buffers else tensor.half().float()
        assert torch.equal(loaded[key], expected), key


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_parameters_are_cast_and_buffers_stay_exact(nano, nano_file, dtype):
    model = load_model(nano_file, device="cpu", dtype=dtype)
    wanted = getattr(torch, dtype)
    assert model.dtype == wanted
    assert {parameter.dtype for parameter in model.parameters()} == {wanted}
    assert {buffer.dtype for buffer in model.buffers()} == {torch.float32}
    with torch.inference_mode():
        token = torch.ones(1, model.config.hidden_dim, dtype=wanted)
        scores = model.sam_mask_decoder.iou_prediction_head(token)
        points = model.sam_prompt_encoder.points(*model.empty_points(1))
    assert scores.dtype == wanted
    assert points.dtype == torch.float32


def test_loaded_model_computes_what_the_saved_one_did(nano, tmp_path):
    path = save_weights(tmp_path / "nano.safetensors", nano, torch.float32)
    model = load_model(str(path), device="cpu", dtype="float32")
    image = torch.randn(1, 3, 512, 512, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = nano.eval().encode_image(image).embedding
        nano.train()
        assert torch.equal(model.encode_image(image).embedding, expected)


def test_model_does_not_depend_on_the_file(nano_file, tmp_path):
    path = tmp_path / "copy.safetensors"
    path.write_bytes(nano_file.read_bytes())
    model = load_model(path, device="cpu", dtype="float16")
    before = model.no_mem_embed.clone()
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert torch.equal(model.no_mem_embed, before)
    assert before.any()


def test_checkpoint_of_pytorch_is_recognised(nano, tmp_path):
    path = tmp_path / "mine.pt"
    torch.save({"model": nano.state_dict(), "epoch": 7}, path)
    model = load_model(path, device="cpu", dtype="float32")
    assert model.config.name == NANO
    assert torch.equal(model.no_mem_embed, nano.no_mem_embed)


def test_misfit_is_listed(nano, tmp_path):
    state_dict = nano.state_dict()
    del state_dict["no_mem_embed"]
    state_dict["extra.weight"] = torch.ones(1)
    state_dict["sam_mask_decoder.iou_token.weight"] = torch.ones(1, 7)
    torch.save(state_dict, tmp_path / "mine.pt")
    with pytest.raises(CheckpointError) as caught:
        load_model(tmp_path / "mine.pt", device="cpu")
    message = str(caught.value)
    assert str(tmp_path / "mine.pt") in message
    assert "1 missing (no_mem_embed)" in message
    assert "1 unexpected (extra.weight)" in message
    assert (
        "1 of another shape (sam_mask_decoder.iou_token.weight (1, 7) instead"
        in message
    )


def test_missing_checkpoint_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_SAM2_HOME", str(tmp_path))
    with pytest.raises(CheckpointError) as caught:
        load_model(TINY, device="cpu")
    message = str(caught.value)
    assert f"napari-sam2 models download {TINY}" in message
    assert f"drop {TINY}.pt into {tmp_path}" in message
    (tmp_path / f"{TINY}.pt").write_bytes(b"PK")
    with pytest.raises(CheckpointError, match=r"incomplete \(2 of 156,008,466 bytes\)"):
        load_model(TINY, device="cpu")


def test_foreign_file_under_an_official_name_is_not_read(monkeypatch, tmp_path):
    install(TINY, b"PK one", monkeypatch, tmp_path)
    registry.model_path(TINY).write_bytes(b"PK two")
    monkeypatch.setattr(models, "read_state_dict", lambda _: pytest.fail("was read"))
    with pytest.raises(CheckpointError, match="not the official file"):
        load_model(TINY, device="cpu")


def test_official_name_must_hold_that_variant(nano_file, monkeypatch, tmp_path):
    install(TINY, nano_file.read_bytes(), monkeypatch, tmp_path)
    with pytest.raises(CheckpointError, match=f"do not fit {TINY}"):
        load_model(TINY, device="cpu")


@pytest.mark.slow
def test_official_file_layout_loads_by_name(monkeypatch, tmp_path):
    torch.manual_seed(0)
    built = build_model(TINY)
    torch.save({"model": built.state_dict()}, tmp_path / "made.pt")
    content = (tmp_path / "made.pt").read_bytes()
    install(TINY, content, monkeypatch, tmp_path)
    model = load_model(TINY, device="cpu", dtype="float32")
    assert model.config == config.VARIANTS[TINY]
    loaded = model.state_dict()
    for key, tensor in built.state_dict().items():
        assert torch.equal(loaded[key], tensor), key


def test_bundled_model_missing_from_the_installation(monkeypatch, tmp_path):
    monkeypatch.setattr(models, "is_available", lambda _: False)
    with pytest.raises(CheckpointError, match="install napari-sam2 again"):
        load_model(NANO)


@pytest.mark.parametrize("name", ["absent.pt", "some/folder/weights", "x.safetensors"])
def test_missing_path(name):
    with pytest.raises(CheckpointError, match=f"There is no file {name}"):
        load_model(name, device="cpu")


def test_absent_device_is_refused_before_reading(monkeypatch, nano_file):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(models, "read_state_dict", lambda _: pytest.fail("was read"))
    with pytest.raises(InferenceError, match="'cuda' cannot be used"):
        load_model(nano_file, device="cuda")


def test_too_little_memory_is_explained(monkeypatch, nano_file):
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(models, "_assemble", full)
    with pytest.raises(InferenceError, match="free memory of cpu"):
        load_model(nano_file, device="cpu")


def test_shipped_file_fits_the_shipped_configuration():
    path = registry.model_path(NANO)
    if not path.exists():
        pytest.skip("not trained yet")
    # What it adds to the wheel, which is a zip file.
    assert len(zlib.compress(path.read_bytes())) <= 16e6
    assert set(read_state_dict(path)) == set(build_model(NANO).state_dict())
    model = load_model(NANO, device="cpu", dtype="float32")
    assert model.config.name == NANO
    assert sum(parameter.numel() for parameter in model.parameters()) <= 8_000_000


def test_files_of_earlier_versions_are_read(nano, tmp_path):
    """With memories, which followed objects once, and one network for all answers."""
    old = {k: v for k, v in nano.state_dict().items() if ".first." not in k}
    with torch.device("meta"):
        memories = Sam2(replace(config.NANO, closeups=False)).state_dict()
    assert len(set(memories) - set(old)) > 20
    old |= {k: torch.ones(v.shape) for k, v in memories.items() if k not in old}
    path = save_state_dict(tmp_path / "mine.safetensors", old, NANO)
    model = load_model(path, device="cpu", dtype="float32")
    assert torch.equal(model.closeup.draw.weight, nano.closeup.draw.weight)
    first = model.closeup.for_first_answers()
    for name, value in first.named_parameters():
        assert torch.equal(value, model.closeup.get_parameter(name)), name


def test_files_whose_first_answers_have_a_lower_rank_are_read(nano, tmp_path):
    network = copy.deepcopy(nano.closeup)
    network.first = None
    lower = Changes(network, 12)
    wanted = CloseUp(widths=network.widths, deep=network.deep)
    lower.approach(network, wanted)
    rest = {k: v for k, v in nano.state_dict().items() if ".first." not in k}
    old = rest | {f"closeup.first.{k}": v for k, v in lower.state_dict().items()}
    path = save_state_dict(tmp_path / "mine.safetensors", old, NANO)
    model = load_model(path, device="cpu", dtype="float32")
    made = model.closeup.for_first_answers()
    for name, value in lower.weights(network).items():
        torch.testing.assert_close(made.get_parameter(name), value, msg=name)


@pytest.mark.parametrize("name", [None, 5, ["sam2_nano"]])
def test_what_is_neither_name_nor_path_is_refused(name):
    with pytest.raises(CheckpointError, match="by its name or the path of its file"):
        load_model(name, device="cpu")


@pytest.mark.parametrize("name", ["x" * 300 + ".pt", "x" * 300])
def test_names_that_are_too_long_are_one_clear_error(name):
    with pytest.raises(CheckpointError, match=name):
        load_model(name, device="cpu")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(nano, tmp_path, value):
    state = {key: tensor.clone() for key, tensor in nano.state_dict().items()}
    last = list(state)[-1]
    state[last].view(-1)[-1] = value
    torch.save(state, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match=r"bad.pt .* not finite in torch.float32"):
        load_model(tmp_path / "bad.pt", device="cpu", dtype="float32")


def test_large_weights_are_no_mistake(nano, tmp_path):
    state = {key: tensor.clone() for key, tensor in nano.state_dict().items()}
    largest = max(state, key=lambda key: state[key].numel())
    state[largest].fill_(60000)  # finite in float16, their sum is not
    torch.save(state, tmp_path / "large.pt")
    load_model(tmp_path / "large.pt", device="cpu", dtype="float16")
