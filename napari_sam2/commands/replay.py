"""``napari-sam2 replay``: the labels of a session, made again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_sam2.commands.options import Out, Overwrite, check_not_input
from sam2_core.errors import CheckpointError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam2.sessions._session_file import SessionFile

SessionPath = Annotated[
    Path,
    typer.Argument(
        metavar="SESSION.json",
        help="Session file, saved in the Segment dock.",
        show_default=False,
    ),
]


def replay(
    session: SessionPath,
    out: Out,
    image: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Where the image is now; again for each further one of the session.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Instead of the device of the session, whose labels may then differ.",
            show_default=False,
        ),
    ] = "",
    overwrite: Overwrite = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Make the labels of a session again, without a window.

    Clicks, corrections, propagations and what was undone are gone through in the order
    in which they were done, so that the labels are the same to the pixel on the same
    computer, also those that were painted or came from elsewhere. If some are not, it
    says so. Example:

    \b
    napari-sam2 replay nuclei.sam2.json --out labels.tif
    """  # noqa: D301
    import numpy as np

    from napari_sam2.picture._image_reference import array_of, open_layer
    from napari_sam2.picture._sources import files
    from napari_sam2.sessions._session_file import read_session
    from sam2_core.label_files import LabelWriter, check_output

    content = read_session(session)
    check_output(out, overwrite)
    _check_model(content)
    places = image or []
    data = array_of(open_layer(content.image, *places[:1]))
    known = [content.image, *content.journal.sources.references]
    for place in [*places, *(Path(each.path) for each in known if each.path)]:
        if overwrite:
            check_not_input(out, place)
    begin = time.perf_counter()
    content.journal.sources.find(files(places), content.image, data)
    labels, lacking = run(content, data, device, quiet)
    found = set[int]()  # those that were painted or searched for have no prompts
    with LabelWriter(out, labels.shape, int(labels.max()), overwrite) as file:
        for index, plane in enumerate(labels.reshape(-1, *labels.shape[-2:])):
            file.write(plane, index)
            found.update(np.unique(plane).tolist())
    objects = len(found - {0})
    seconds = time.perf_counter() - begin
    typer.echo(
        f"{objects} object{'' if objects == 1 else 's'} in {out} ({file.dtype}; "
        f"{content.prompt_count} prompts), {seconds:.1f} s"
    )
    if lacking:
        typer.echo(lacking, err=True)


def run(
    session: SessionFile, data: Any, device: str = "", quiet: bool = True
) -> tuple[NDArray[Any], str]:
    """Labels of a session, as the dock had them, and a sentence if some are not."""
    from types import SimpleNamespace

    import numpy as np
    from tqdm import tqdm

    from napari_sam2.engine._backend import Sam2Backend
    from napari_sam2.engine._engine import Engine
    from napari_sam2.history._history import History
    from napari_sam2.history._record import Record
    from napari_sam2.history._replay import Redo, apply, planes_of, rerun
    from napari_sam2.sessions._elsewhere import missing

    array = np.zeros(session.labels["shape"], session.labels["dtype"])
    labels = SimpleNamespace(data=array, name="labels")
    history, engine = History(Record(session.journal)), Engine(Sam2Backend())
    total = planes_of(session.journal)
    with tqdm(total=total, unit="mask", disable=quiet, mininterval=0.5) as bar:
        for item in rerun(session.journal, data, engine, lambda: False, device):
            if isinstance(item, Redo):
                apply(item, labels, history)
                bar.update(item.masks is not None)
    return array, missing(session, history.record.sums)


def _check_model(session: SessionFile) -> None:
    """CheckpointError if the weights are others than those of the session."""
    from napari_sam2.sessions._session_file import model_hash

    name, expected = session.model["name"], session.model.get("sha256", "")
    if expected and model_hash(name) != expected:
        raise CheckpointError(
            f"The session was made with other weights of {name}: install the version "
            "of napari-sam2 that it names."
        )
