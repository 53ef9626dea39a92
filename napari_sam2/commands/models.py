"""``napari-sam2 models``: which weights there are, and getting them."""

from __future__ import annotations

from typing import Annotated

import typer

models = typer.Typer(
    name="models",
    help="List, download and check model weights.",
    rich_markup_mode=None,
    add_completion=False,
)

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="As in `models list`.", show_default=False)
]


@models.command("list")
def list_() -> None:
    """List all models, and which are on this computer."""
    from sam2_core.registry import CHECKPOINTS, cache_dir

    width = max(map(len, CHECKPOINTS))
    for name, checkpoint in CHECKPOINTS.items():
        size = checkpoint.bytes or size_here(name)
        columns = f"{name:<{width}}", f"{size / 1e6:6.1f} MB", checkpoint.licence
        typer.echo("  ".join((*columns, state(name))))
    typer.echo(f"Downloads are kept in {cache_dir()}")


@models.command()
def download(
    name: Name,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Download the weights of a model, verified by SHA-256."""
    from tqdm import tqdm

    from sam2_core.download import download as fetch
    from sam2_core.registry import find_checkpoint

    checkpoint = find_checkpoint(name)
    bar = tqdm(
        total=checkpoint.bytes or None,
        unit="B",
        unit_scale=True,
        desc=name,
        disable=quiet or checkpoint.is_bundled,
    )
    with bar:
        path = fetch(name, progress=lambda done, _: bar.update(done - bar.n))
    typer.echo(f"{name} is ready: {path}")


@models.command()
def verify(name: Name) -> None:
    """Check the weights of a model on this computer against their SHA-256."""
    from sam2_core.download import verify as check
    from sam2_core.registry import model_path

    check(name)
    typer.echo(f"{name} is intact: {model_path(name)}")


@models.command()
def path(name: Name) -> None:
    """Print where the weights of a model are, or would be after a download."""
    from sam2_core.registry import model_path

    typer.echo(model_path(name))


def state(name: str) -> str:
    """In words: bundled, downloaded, incomplete or not downloaded."""
    from sam2_core.registry import find_checkpoint, is_available, model_path

    if find_checkpoint(name).is_bundled:
        return "bundled" if is_available(name) else "missing from this installation"
    if is_available(name):
        return "downloaded"
    return "incomplete" if model_path(name).exists() else "not downloaded"


def size_here(name: str) -> int:
    """Bytes of the weight file on this computer, 0 without one."""
    from sam2_core.registry import model_path

    path = model_path(name)
    return path.stat().st_size if path.is_file() else 0
