"""The examples run, and what README and docs show is true."""

from __future__ import annotations

import importlib
import pkgutil
import re
import runpy
import shlex
import shutil
from pathlib import Path
from unittest.mock import create_autospec

import pytest
import tifffile

from sam2_core.registry import is_available

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "napari_sam2" / "samples"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))


@pytest.fixture(scope="module")
def model():
    """The bundled model; with random weights where it is not trained yet."""
    from sam2_core.models import build_model, load_model

    if is_available("sam2_nano"):
        return load_model("sam2_nano", device="cpu")
    return build_model("sam2_nano").eval().requires_grad_(False)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model) -> Path:
    """A folder with the samples in it, and a model that is loaded already."""
    import sam2_core

    def load_model(*_: object, **__: object) -> object:
        return model

    shutil.copy(SAMPLES / "cytology_smear.tif", tmp_path / "cells.tif")
    shutil.copy(SAMPLES / "cells3d_nuclei.tif", tmp_path / "stack.tif")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(vars(sam2_core), "load_model", load_model)
    monkeypatch.setattr("sam2_core.models.load_model", load_model)
    return tmp_path


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def commands() -> list[tuple[str, list[str]]]:
    found = []
    for page in PAGES:
        for block in blocks(page, "bash"):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("napari-sam2 "):
                    found.append((page.name, shlex.split(line)[1:]))
    return found


def test_every_example_is_listed() -> None:
    listed = re.findall(r"`(\w+\.py)`", (ROOT / "examples/README.md").read_text())
    assert sorted(listed) == EXAMPLES


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in EXAMPLES if n != "napari_script.py"])
def test_example_runs(name: str, workplace: Path, capsys) -> None:
    runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
    assert capsys.readouterr().out
    labels = {
        "segment_image.py": ("segmented_cells.tif", (1024, 1024)),
        "track_stack.py": ("tracked_nuclei.tif", (40, 256, 256)),
    }
    if name in labels:
        file, shape = labels[name]
        assert tifffile.imread(workplace / file).shape == shape


@pytest.mark.slow
@pytest.mark.display
@pytest.mark.skipif(
    not is_available("sam2_nano"), reason="the bundled weights are not trained yet"
)
def test_napari_example_runs(
    workplace: Path, make_napari_viewer, monkeypatch, capsys
) -> None:
    import napari

    viewer = make_napari_viewer()
    monkeypatch.setattr(napari, "Viewer", lambda: viewer)
    monkeypatch.setattr(napari, "run", lambda: None)
    runpy.run_path(str(ROOT / "examples" / "napari_script.py"))
    assert "frames with labels" in capsys.readouterr().out


def test_import_lines_of_coming_from_exist() -> None:
    text = (ROOT / "docs" / "coming-from.md").read_text(encoding="utf-8")
    lines = re.findall(r"`(from sam2_core[\w.]* import \w+)`", text)
    assert len(lines) >= 8
    for line in lines:
        exec(line, {})


@pytest.mark.slow
def test_python_of_coming_from_runs(workplace: Path) -> None:
    code = blocks(ROOT / "docs" / "coming-from.md", "python")
    assert len(code) == 2
    for block in code:
        exec(compile(block, "coming-from.md", "exec"), {})
    assert (workplace / "objects.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "python.md"])
def test_python_of_the_page_runs(page: Path, workplace: Path, monkeypatch) -> None:
    from sam2_core.video import VideoSession

    whole = VideoSession.propagate

    def few_frames(self, start=18, stop=22, direction="both", only_changed=False):
        return whole(self, start, stop, direction, only_changed)

    monkeypatch.setattr(VideoSession, "propagate", few_frames)
    code = "\n".join(blocks(page, "python"))
    assert "propagate" in code
    exec(compile(code, page.name, "exec"), {})


@pytest.mark.parametrize("page", ["annotate.md", "finetune.md"])
def test_python_of_the_page_calls_what_there_is(page: str, monkeypatch) -> None:
    """Names and arguments only: the work takes hours, or packages of others."""
    for place in (
        "sam2_core:load_model",
        "sam2_core:auto_annotate",
        "sam2_core.annotate:auto_annotate",
        "sam2_core.annotate:TextBoxes",
        "sam2_core.annotate:UltralyticsBoxes",
        "sam2_core.compat:auto_annotate",
        "sam2_core.training.finetune:finetune",
    ):
        module, _, name = place.partition(":")
        double = create_autospec(pkgutil.resolve_name(place))
        monkeypatch.setitem(vars(importlib.import_module(module)), name, double)
    found = blocks(ROOT / "docs" / page, "python")
    assert len(found) > 1
    for block in found:
        exec(compile(block, page, "exec"), {})


def test_commands_of_the_pages_exist() -> None:
    import typer

    from napari_sam2.cli import app

    group = typer.main.get_command(app)
    assert len(commands()) > 12
    for page, words in commands():
        command, rest = group, words
        while hasattr(command, "commands"):
            assert rest[0] in command.commands, (page, words)
            command, rest = command.commands[rest[0]], rest[1:]
        # Raises for unknown options, missing arguments and malformed values.
        command.make_context("napari-sam2", list(rest))


def test_commands_of_a_page_can_be_run_one_after_the_other() -> None:
    """What exists already, or holds results of another detector, is not replaced."""
    for page in PAGES:
        outputs = [
            words[words.index("--out") + 1] if "--out" in words else words[1]
            for name, words in commands()
            if name == page.name and ("--out" in words or words[0] == "annotate")
        ]
        assert len(outputs) == len(set(outputs)), (page.name, outputs)


@pytest.mark.slow
def test_tracking_command_of_the_readme_writes_labels(workplace: Path, capfd) -> None:
    from napari_sam2.cli import main

    ((_, words),) = [c for c in commands() if c[0] == "README.md" and "track" in c[1]]
    assert main([*words, "--start", "18", "--stop", "22"]) == 0
    labels = tifffile.imread("nuclei.tif")
    assert labels.shape == (40, 256, 256)
    assert "2 objects in 5 of 40 frames" in capfd.readouterr().out


def test_links_lead_somewhere() -> None:
    for page in (*PAGES, ROOT / "examples" / "README.md"):
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            if "://" not in target:
                assert (page.parent / target).exists(), (page.name, target)


def test_system_packages_are_those_of_the_ci() -> None:
    (listed,) = [
        b for b in blocks(ROOT / "README.md", "bash") if "apt-get install" in b
    ]
    readme = set(re.findall(r"\b(?:lib[\w.+-]+|xvfb)\b", listed))
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (packages,) = re.findall(r"^packages=\((.*?)^\)", script, re.MULTILINE | re.DOTALL)
    assert readme == set(packages.split())


def test_sizes_in_the_readme_are_those_of_the_registry() -> None:
    from sam2_core.registry import CHECKPOINTS

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, checkpoint in CHECKPOINTS.items():
        (row,) = [
            x for x in readme.splitlines() if x.startswith("| ") and f"`{name}`" in x
        ]
        if not checkpoint.is_bundled:
            (size,) = re.findall(r"\| (\d+) MB \|", row)
            assert abs(int(size) - checkpoint.bytes / 1e6) < 1
