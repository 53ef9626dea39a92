"""``napari-sam2 demo``: the whole path on a real z-stack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_sam2.commands.options import Device, Dtype, Model  # noqa: TC001
from napari_sam2.commands.signals import end_at_once


def demo(
    headless: Annotated[
        bool,
        typer.Option(
            "--headless", help="Open no window; write demo_labels.tif and demo.png."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the two files, which are replaced if there; opens no "
            "window either. Default: this folder.",
            show_default=False,
        ),
    ] = None,
    model: Model = "sam2_nano",
    device: Device = "auto",
    dtype: Dtype = "auto",
) -> None:
    """Click nuclei on one slice of a real z-stack and follow them through all others.

    Opens napari with the stack, the clicks and the labels. Without a display it does
    the same work and writes demo_labels.tif and demo.png.
    """
    from napari_sam2 import demo as work

    reason = "--headless" if headless or out is not None else work.why_no_window()
    if not reason:
        end_at_once()
        work.run_in_napari(model, device, say=typer.echo)
        return
    if not headless and out is None:
        typer.echo(f"No window is opened: {reason}")
    work.run_headless(out or Path(), model, device, dtype, say=typer.echo)
