"""Session files in napari's File menu: a reader and a writer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sam2_core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam2.picture._image_reference import ImageReference, LayerData

SESSION_PATH = "napari_sam2_session"  # in the image's metadata, for the dock to load
METADATA = "napari_sam2"  # in the labels' metadata: the session as it is now


def get_reader(path: str | list[str]) -> Callable[[str], Any] | None:
    """A reader for session files; None for other JSON files."""
    if not isinstance(path, str) or not path.lower().endswith(".json"):
        return None
    from napari_sam2.sessions._session_file import FORMAT

    try:
        with Path(path).open(encoding="utf-8") as file:
            start = file.read(200)
    except (OSError, UnicodeDecodeError):
        return None
    return read_layers if json.dumps(FORMAT) in start else None


def read_layers(path: str) -> list[LayerData] | list[tuple[None]]:
    """The image of a session; the Segment dock then brings the rest back.

    An image that is open already is not opened again, and no layer is added.
    """
    from napari_sam2.picture._image_reference import ORIGIN, open_layer
    from napari_sam2.sessions._session_file import read_session

    reference = read_session(path).image
    if _hand_over(path, reference):
        return [(None,)]  # napari's way of saying that a file has no layers
    if not reference.is_there:
        raise ImageError(reference.request)
    data, attributes, kind = open_layer(reference)
    attributes = {"name": reference.name, **attributes}
    attributes["metadata"] = {
        **attributes.get("metadata", {}),
        ORIGIN: reference,
        SESSION_PATH: str(Path(path).absolute()),
    }
    _tell_of_next()
    return [(data, attributes, kind)]


def _hand_over(path: str, reference: ImageReference) -> bool:
    """Give a session to its image in the viewer in front; False if it is not there."""
    import napari

    from napari_sam2.picture._image_reference import find_layer

    viewer = napari.current_viewer()
    if viewer is None:
        return False
    layer, _ = find_layer(viewer.layers, reference, lambda data: "")
    if layer is None:
        return False
    # A dock hears of it, and takes it out again.
    layer.metadata = {**layer.metadata, SESSION_PATH: str(Path(path).absolute())}
    _tell(layer)
    return True


def _tell_of_next() -> None:
    """Look at the next layer, the image of a session, after the docks have."""
    import napari

    viewer = napari.current_viewer()
    if viewer is None:
        return
    inserted = viewer.layers.events.inserted

    def on_inserted(event: Any) -> None:
        inserted.disconnect(on_inserted)
        _tell(event.value)

    inserted.connect(on_inserted, position="last")


def _tell(layer: Any) -> None:
    """Ask for a dock, if there is none that has taken the session of an image."""
    from napari.utils.notifications import show_info

    if SESSION_PATH in layer.metadata:
        show_info(f"Open the Segment dock: it brings the session on {layer.name} back.")


def write_layers(path: str, layers: list[LayerData]) -> list[str]:
    """Save the session that the labels among these layers belong to."""
    from napari_sam2.sessions._session_file import readable, write_text

    for _, attributes, _ in layers:
        content = attributes.get("metadata", {}).get(METADATA)
        if content:
            write_text(Path(path), readable(content))
            return [path]
    raise ImageError(
        "None of these layers has a session: save the labels layer of the Segment dock."
    )
