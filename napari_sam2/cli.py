"""The command ``napari-sam2``: what it offers, and how it says what went wrong."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, cast

import typer

from napari_sam2.commands.annotate import annotate
from napari_sam2.commands.demo import demo
from napari_sam2.commands.everything import everything
from napari_sam2.commands.finetune import finetune
from napari_sam2.commands.info import info
from napari_sam2.commands.models import models
from napari_sam2.commands.replay import replay
from napari_sam2.commands.segment import segment
from napari_sam2.commands.signals import as_interrupts
from napari_sam2.commands.track import track
from sam2_core import __version__
from sam2_core.errors import AxesError, Sam2Error

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE_ERROR = 2
INTERRUPTED = 130

# typer carries its own copy of click or not, depending on its version.
_ClickError = cast("type[Exception]", typer.BadParameter.__mro__[2])

app = typer.Typer(
    name="napari-sam2",
    help="SAM 2 for microscopy: from a click to a labelled image or stack.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(segment)
app.command()(track)
app.command()(replay)
app.command()(everything)
app.command()(annotate)
app.command()(finetune)
app.command()(demo)
app.command()(info)
app.add_typer(models, name="models")


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"napari-sam2 {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    """SAM 2 for microscopy: from a click to a labelled image or stack."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the name of the program; default: ``sys.argv``.

    Returns
    -------
    int
        Exit code: 0, or 2 after a mistake in the call or its files, which was reported
        in one line on stderr, or 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.
    """
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    empty = next((i for i, word in enumerate(words) if _is_empty(word)), None)
    if empty is not None:  # else a path would mean the current folder
        return _fail(f"{_named(words, empty)} is empty: give a value or leave it out.")
    command = typer.main.get_command(app)
    try:
        with as_interrupts() as signals:
            result = command.main(words, prog_name="napari-sam2", standalone_mode=False)
    except _ClickError as error:
        return _fail(error.format_message(), hint=True)  # type: ignore[attr-defined]
    except AxesError as error:
        options = " ".join(f"--select {axis}=0" for axis in error.axes)
        return _fail(f"{error.problem}; choose a position, for example {options}.")
    except Sam2Error as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(_about_file(error))
    except (typer.Abort, KeyboardInterrupt):
        result = INTERRUPTED
    if result == INTERRUPTED:
        typer.echo("napari-sam2: stopped", err=True)
        return 128 + signals[0] if signals else INTERRUPTED
    return result if isinstance(result, int) else 0


def _is_empty(word: str) -> bool:
    option, equals, value = word.partition("=")
    return not word.strip() or (
        option.startswith("--") and equals == "=" and not value.strip()
    )


def _named(words: Sequence[str], index: int) -> str:
    """What to call the word at a position."""
    if words[index].strip():
        return words[index].partition("=")[0]
    before = words[index - 1] if index else ""
    return before if before.startswith("-") else f"Argument {index + 1}"


def _about_file(error: OSError) -> str:
    """What an error of the system says, in a sentence."""
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is None:
        return f"{reason}."
    return f"{error.filename} cannot be used: {reason}."


def _fail(message: str, hint: bool = False) -> int:
    text = " ".join(message.split())
    more = " (see napari-sam2 --help)" if hint else ""
    typer.echo(f"napari-sam2: error: {text}{more}", err=True)
    return USAGE_ERROR
