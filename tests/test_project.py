"""The project as a whole: imports, layers, manifest, version, what the wheel holds."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import napari_sam2
import sam2_core

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("napari_sam2", "sam2_core")
LINT_IMPORTS = "from importlinter.cli import lint_imports_command as run; run()"


def run_python(*args: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run this Python in a fresh process and give back what it printed."""
    return subprocess.run(
        [sys.executable, *args], cwd=cwd, capture_output=True, text=True, check=False
    )


def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "module",
    [
        *("sam2_core", "sam2_core.download"),
        *("napari_sam2", "napari_sam2.cli", "napari_sam2.widgets"),
    ],
)
def test_import_does_not_load_torch(module: str) -> None:
    code = f"import {module}, sys; print('torch' in sys.modules)"
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False"


def test_engine_loads_no_gui() -> None:
    # Every module of the engine, torch and all, in one process.
    code = (
        "import importlib, pkgutil, sys, sam2_core\n"
        "for m in pkgutil.walk_packages(sam2_core.__path__, 'sam2_core.'):\n"
        "    if not m.name.endswith('__main__'):\n"
        "        importlib.import_module(m.name)\n"
        "gui = {'napari', 'qtpy', 'superqt', 'magicgui', 'napari_sam2'}\n"
        "print(sorted(gui & set(sys.modules)))"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_public_names_exist() -> None:
    for name in sam2_core.__all__:
        assert getattr(sam2_core, name) is not None


def test_manifest_at_the_top_is_the_one_in_the_package() -> None:
    top, real = ROOT / "napari.yaml", ROOT / "napari_sam2" / "napari.yaml"
    if not top.is_symlink():
        pytest.skip("this checkout has no symlinks")
    assert not real.is_symlink()
    assert top.resolve() == real.resolve()


def test_manifest_is_valid_and_every_command_imports() -> None:
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution("napari-sam2")
    manifest.validate_imports()
    assert manifest.name == "napari-sam2"
    assert manifest.package_version == sam2_core.__version__
    widgets = {w.display_name for w in manifest.contributions.widgets or []}
    assert "Segment" in widgets


def test_version_is_in_one_place() -> None:
    assert napari_sam2.__version__ == sam2_core.__version__
    assert metadata.version("napari-sam2") == sam2_core.__version__
    assert "version" in pyproject()["project"]["dynamic"]
    literal = re.compile(r"""^__version__\s*=\s*["']""", re.MULTILINE)
    found = [
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if literal.search(path.read_text(encoding="utf-8"))
    ]
    assert found == ["sam2_core/__init__.py"]


def test_version_is_in_the_changelog_and_the_citation() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(sam2_core.__version__)}\b", changelog, re.M)
    assert f"\nversion: {sam2_core.__version__}\n" in citation


def test_layers_import_one_way() -> None:
    pytest.importorskip("importlinter")
    done = run_python("-c", LINT_IMPORTS)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_only_the_widgets_import_qt() -> None:
    qt = re.compile(r"^\s*(from|import) (qtpy|superqt|PyQt\d|PySide\d)\b", re.MULTILINE)
    package = ROOT / "napari_sam2"
    found = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if qt.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"widgets"}


def test_no_file_grows_past_400_lines() -> None:
    long = {
        path.relative_to(ROOT).as_posix(): count
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 400
    }
    assert long == {}


def test_base_dependencies_have_no_qt_binding_and_torch_stays_open() -> None:
    requirements = pyproject()["project"]["dependencies"]
    names = [re.split(r"[\s\[<>=!~;]", r, maxsplit=1)[0].lower() for r in requirements]
    assert not [n for n in names if n.startswith(("pyqt", "pyside"))]
    assert not [r for r in requirements if re.match(r"napari\s*\[", r)]
    for package in ("torch", "napari"):
        (requirement,) = [r for r in requirements if re.match(rf"{package}\b", r)]
        assert "<" not in requirement
        assert "==" not in requirement


def test_constraints_name_every_direct_dependency() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in text.splitlines()
        if "==" in line
    }
    needed = {
        re.split(r"[\s\[<>=!~;]", r, maxsplit=1)[0].lower()
        for r in pyproject()["project"]["dependencies"]
    }
    assert needed - pinned == set()


def test_ci_runs_the_test_command_of_the_readme() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    command = lines[-1]
    assert command.endswith("tox")
    assert command in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_wheel_holds_all_that_is_needed_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    skip = shutil.ignore_patterns("__pycache__", ".*")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=skip)
    (source / "tests").mkdir()
    (source / "tests" / "__init__.py").touch()

    build = "import setuptools.build_meta as b, sys; b.build_wheel(sys.argv[1])"
    done = run_python("-c", build, str(tmp_path), cwd=source)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    info = f"napari_sam2-{sam2_core.__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {*PACKAGES, info}
    # The packages hold no file that would be missing after `pip install`.
    expected = {
        path.relative_to(source).as_posix()
        for package in PACKAGES
        for path in (source / package).rglob("*")
        if path.is_file()
    }
    assert expected - names == set()
    assert "napari_sam2/napari.yaml" in names
    assert f"{info}/licenses/LICENSE" in names
