from __future__ import annotations

import gzip
import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sam2_core import config, weights
from sam2_core.errors import CheckpointError
from sam2_core.recognition import check_fit, recognise

KEYS = Path(__file__).parents[1] / "data" / "keys"
OFFICIAL = [name for name in config.VARIANTS if name != config.NANO.name]


def shapes_of(name: str) -> dict[str, list[int]]:
    return json.loads((KEYS / f"{name}.json").read_text())


def tensors_of(name: str) -> dict[str, torch.Tensor]:
    """An official state dict without memory behind it."""
    return {k: torch.empty(s, device="meta") for k, s in shapes_of(name).items()}


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "a.weight": torch.randn(3, 4, generator=generator),
        "a.bias": torch.randn(3, generator=generator),
        "scalar": torch.tensor(2.5),
    }


def assert_same(read, expected):
    assert read.keys() == expected.keys()
    for key, tensor in expected.items():
        assert read[key].dtype == tensor.dtype
        assert torch.equal(read[key], tensor), key


# ---------------------------------------------------------------- registry and folders


def test_registry_has_the_eight_official_files_and_the_bundled_one():
    assert list(weights.CHECKPOINTS) == config.list_models()
    for name in OFFICIAL:
        checkpoint = weights.CHECKPOINTS[name]
        folder = "092824" if name.startswith("sam2.1") else "072824"
        assert checkpoint.file == f"{name}.pt"
        assert checkpoint.url == (
            f"https://dl.fbaipublicfiles.com/segment_anything_2/{folder}/{name}.pt"
        )
        assert len(checkpoint.sha256) == 64
        assert set(checkpoint.sha256) <= set("0123456789abcdef")
        # Tensors in float32 plus 121 to 296 kB of zip and pickle.
        elements = sum(torch.Size(s).numel() for s in shapes_of(name).values())
        assert 100_000 < checkpoint.bytes - 4 * elements < 300_000
    assert len({c.sha256 for c in weights.CHECKPOINTS.values()}) == 9


def test_cache_folder_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_SAM2_HOME", str(tmp_path / "models"))
    assert weights.cache_dir() == tmp_path / "models"
    path = weights.model_path("sam2_hiera_tiny")
    assert path == tmp_path / "models" / "sam2_hiera_tiny.pt"
    monkeypatch.setenv("NAPARI_SAM2_HOME", "~/models")
    assert weights.cache_dir() == Path.home() / "models"
    monkeypatch.delenv("NAPARI_SAM2_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert "napari-sam2" in weights.cache_dir().parts


def test_bundled_file_is_inside_the_package():
    path = weights.model_path(config.NANO.name)
    assert path.parent == Path(config.__file__).parent / "bundled"


def test_available_means_there_and_of_right_size(monkeypatch, tmp_path):
    monkeypatch.setenv("NAPARI_SAM2_HOME", str(tmp_path))
    name = "sam2_hiera_tiny"
    small = replace(weights.CHECKPOINTS[name], bytes=5)
    monkeypatch.setitem(weights.CHECKPOINTS, name, small)
    assert not weights.is_available(name)
    weights.model_path(name).write_bytes(b"1234")
    assert not weights.is_available(name)
    weights.model_path(name).write_bytes(b"12345")
    assert weights.is_available(name)


def test_unknown_name_is_answered_with_the_names():
    with pytest.raises(CheckpointError, match=r"did you mean sam2\.1_hiera_large"):
        weights.model_path("sam2.1_hiera_larg")
    with pytest.raises(CheckpointError, match=r"sam2_nano, .*sam2_hiera_large"):
        weights.model_path("resnet")


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("old_format", [False, True])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda t: t,
        lambda t: {"model": t},
        lambda t: {"state_dict": t, "epoch": 3},
        lambda t: {"model": t, "optimizer": {"lr": 0.1}},
    ],
)
def test_torch_files_bare_and_wrapped(tmp_path, tensors, wrap, old_format):
    path = tmp_path / "weights.pt"
    torch.save(wrap(tensors), path, _use_new_zipfile_serialization=not old_format)
    assert_same(weights.read_state_dict(path), tensors)


def test_half_precision_is_read_as_it_is(tmp_path, tensors):
    half = {key: tensor.half() for key, tensor in tensors.items()}
    torch.save({"model": half}, tmp_path / "sam2_t.pt")
    assert_same(weights.read_state_dict(tmp_path / "sam2_t.pt"), half)


def test_safetensors_of_others(tmp_path, tensors):
    save_file(tensors, tmp_path / "weights.safetensors")
    assert_same(weights.read_state_dict(tmp_path / "weights.safetensors"), tensors)
    assert weights.read_variant(tmp_path / "weights.safetensors") is None


def test_content_counts_not_the_suffix(tmp_path, tensors):
    save_file(tensors, tmp_path / "weights.pt")
    assert_same(weights.read_state_dict(tmp_path / "weights.pt"), tensors)


def test_prefix_of_a_wrapper_module_is_removed(tmp_path):
    key = "image_encoder.trunk.patch_embed.proj.weight"
    torch.save(
        {f"module.{key}": torch.ones(2), "module.x": torch.ones(1)}, tmp_path / "a"
    )
    assert set(weights.read_state_dict(tmp_path / "a")) == {key, "x"}
    torch.save(
        {f"module.{key}": torch.ones(2), "other.x": torch.ones(1)}, tmp_path / "b"
    )
    assert set(weights.read_state_dict(tmp_path / "b")) == {f"module.{key}", "other.x"}


class Harmful:
    """Writes a file when unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (Path.write_text, (self.target, "harm done"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("plain_pickle", [False, True])
def test_code_in_a_file_is_never_run(tmp_path, plain_pickle):
    path, target = tmp_path / "weights.pt", tmp_path / "harm"
    content = {"model": Harmful(target)}
    if plain_pickle:
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match="could run code"):
        weights.read_state_dict(path)
    assert not target.exists()


def torch_bytes(tmp_path: Path) -> bytes:
    torch.save({"a": torch.zeros(5000)}, tmp_path / "whole.pt")
    return (tmp_path / "whole.pt").read_bytes()


def safetensors_bytes(tmp_path: Path) -> bytes:
    save_file({"a": torch.zeros(5000)}, tmp_path / "whole.safetensors")
    return (tmp_path / "whole.safetensors").read_bytes()


def zipped(tmp_path: Path) -> bytes:
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    return (tmp_path / "some.zip").read_bytes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda _: b"", "empty file"),
        (lambda _: b"<!DOCTYPE html><html>404</html>", "web page"),
        (lambda _: b"\n  <HTML><body>Log in</body>", "web page"),
        (lambda _: b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS"),
        (lambda _: gzip.compress(b"hello"), "gzip"),
        (lambda _: b"\x89HDF\r\n\x1a\n" + bytes(600), "HDF5"),
        (lambda _: b"GIF89a" + bytes(600), "no known header"),
        (lambda _: b"abc", "no known header"),
        (lambda p: torch_bytes(p)[:3000], "rest is missing"),
        (lambda p: safetensors_bytes(p)[:20], "rest is missing"),
        (lambda p: safetensors_bytes(p)[:2000], "broken safetensors"),
        (lambda p: b"\x80\x02broken", "broken PyTorch file"),
        (zipped, "zip archive"),
    ],
)
def test_broken_and_foreign_files_are_named(tmp_path, content, words):
    path = tmp_path / "weights.pt"
    path.write_bytes(content(tmp_path))
    with pytest.raises(CheckpointError, match=words) as caught:
        weights.read_state_dict(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [{}, {"model": {}}, {"a": 1}, [1, 2], torch.ones(2)]
)
def test_torch_file_without_a_state_dict(tmp_path, content):
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match="state dict"):
        weights.read_state_dict(tmp_path / "weights.pt")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(CheckpointError, match="There is no file"):
        weights.read_state_dict(tmp_path / "absent.pt")
    with pytest.raises(CheckpointError, match="is a folder"):
        weights.read_state_dict(tmp_path)


# ---------------------------------------------------------------- writing


def test_saved_file_reads_back_as_float16(tmp_path, tensors):
    path = tmp_path / "new" / "mine.safetensors"
    weights.save_state_dict(path, tensors, "sam2_nano", torch.float16, keep=["a.bias"])
    read = weights.read_state_dict(path)
    assert read["a.bias"].dtype == torch.float32
    assert torch.equal(read["a.bias"], tensors["a.bias"])
    assert torch.equal(read["a.weight"], tensors["a.weight"].half())
    assert weights.read_variant(path) == "sam2_nano"
    assert [p.name for p in path.parent.iterdir()] == ["mine.safetensors"]


def test_saved_model_keeps_its_buffers_exact(tmp_path):
    model = torch.nn.BatchNorm1d(3)
    model.config = config.NANO
    model.running_mean[:] = torch.tensor([1 / 3, 2 / 3, 1e-9])
    path = weights.save_weights(tmp_path / "model.safetensors", model)
    read = weights.read_state_dict(path)
    assert torch.equal(read["running_mean"], model.running_mean)
    assert read["weight"].dtype == torch.float16
    assert weights.read_variant(path) == config.NANO.name


def test_one_flipped_bit_is_noticed(tmp_path, tensors):
    path = weights.save_state_dict(tmp_path / "a.safetensors", tensors, "sam2_nano")
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        weights.read_state_dict(path)


@pytest.mark.parametrize("bad", [float("nan"), 1e6])
def test_values_that_float16_cannot_hold_are_refused(tmp_path, bad):
    path = tmp_path / "a.safetensors"
    with pytest.raises(CheckpointError, match="not finite"):
        weights.save_state_dict(path, {"x": torch.tensor([bad])}, "n", torch.float16)
    assert not path.exists()


def test_failed_write_leaves_the_old_file(tmp_path, tensors, monkeypatch):
    path = weights.save_state_dict(tmp_path / "a.safetensors", tensors, "old")
    before = path.read_bytes()

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights.os, "fsync", full_disk)
    with pytest.raises(CheckpointError, match="No space left"):
        weights.save_state_dict(path, tensors, "new")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


# ---------------------------------------------------------------- recognising


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_variants_are_recognised(name):
    assert recognise(tensors_of(name)).name == name


@pytest.mark.parametrize("name", OFFICIAL)
def test_one_missing_tensor_does_not_change_the_answer(name):
    for key in list(tensors_of(name))[::25]:
        if "patch_embed.proj.weight" in key:
            continue
        state_dict = tensors_of(name)
        del state_dict[key]
        assert recognise(state_dict).name == name, key


def test_foreign_networks_are_named():
    one = torch.ones(1)
    for keys, words in (
        (["image_encoder.blocks.0.norm1.weight"], "first SAM"),
        (["vision_encoder.trunk.x"], "Hugging Face"),
        (["image_encoder.neck.x"], "another image encoder"),
        (["layer1.0.conv1.weight", "fc.bias"], "layer1.0.conv1.weight, fc.bias"),
    ):
        with pytest.raises(CheckpointError, match=words):
            recognise(dict.fromkeys(keys, one))


def test_unknown_size_is_explained():
    state_dict = tensors_of("sam2_hiera_tiny")
    key = "image_encoder.trunk.patch_embed.proj.weight"
    state_dict[key] = torch.empty(80, 3, 7, 7, device="meta")
    with pytest.raises(CheckpointError, match=r"80 channels.*96 \(sam2.1_hiera_tiny\)"):
        recognise(state_dict)


def test_stored_variant_is_believed_if_it_exists():
    state_dict = tensors_of("sam2_hiera_tiny")
    assert recognise(state_dict, "sam2_hiera_small").name == "sam2_hiera_small"
    assert recognise(state_dict, "my_own").name == "sam2_hiera_tiny"


def test_misfit_lists_names_and_counts():
    expected = {f"block.{i}": (2, 3) for i in range(5)} | {"x": (1,), "y": (4,)}
    state_dict = {"x": torch.ones(2), "y": torch.ones(4), "new": torch.ones(1)}
    with pytest.raises(CheckpointError) as caught:
        check_fit(state_dict, expected, "sam2_nano")
    message = str(caught.value)
    assert "5 missing (block.0, block.1, block.2, ...)" in message
    assert "1 unexpected (new)" in message
    assert "1 of another shape (x (2,) instead of (1,))" in message
    fitting = {key: torch.ones(shape) for key, shape in expected.items()}
    check_fit(fitting, expected, "sam2_nano")
