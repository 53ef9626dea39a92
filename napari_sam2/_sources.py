"""The images that the model saw blended, as sessions remember them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_sam2._channels import blend_from_json, channel_as_json
from napari_sam2._image_reference import (
    ImageReference,
    array_of,
    find_layer,
    open_layer,
)
from napari_sam2._images import full_resolution
from sam2_core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import napari.components

    from napari_sam2._channels import Blend


class Sources:
    """Arrays of all channels so far, and how to find them again.

    Channels of a session that was opened have no array until :meth:`find` was called.

    Attributes
    ----------
    references : list of ImageReference
        Where each came from, as far as it is known.
    arrays : list
        Their pixels, None where they are not here yet.
    """

    def __init__(self) -> None:
        self.references: list[ImageReference] = []
        self.arrays: list[Any] = []

    def __bool__(self) -> bool:
        return bool(self.references)

    def describe(self, blend: Blend) -> list[dict[str, Any]]:
        """A blend in plain JSON; its images are among the sources from now on."""
        return [
            channel_as_json(channel, self._number(channel.data, channel.reference))
            for channel in blend.channels
        ]

    def blend(self, content: Sequence[Mapping[str, Any]]) -> Blend:
        """The inverse of :meth:`describe`; ImageError if an image is not here."""
        for channel in content:
            if self.arrays[int(channel["source"])] is None:
                raise ImageError(f"Open the image {channel['layer']!r} first.")
        return blend_from_json(content, self.arrays, self.references)

    def unidentified(self, known: Callable[[Any], str]) -> Iterator[tuple[int, Any]]:
        """Number and array of those whose checksum ``known`` does not have either."""
        for number, reference in enumerate(self.references):
            data = self.arrays[number]
            if reference.checksum or data is None:
                continue
            if found := known(data):
                self.identify(number, found)
            else:
                yield number, data

    def identify(self, number: int, found: str) -> None:
        """Remember the checksum of an array."""
        self.references[number] = replace(self.references[number], checksum=found)

    def find(self, look: Callable[[ImageReference], Any]) -> None:
        """Get the arrays that are missing."""
        for number, reference in enumerate(self.references):
            if self.arrays[number] is None:
                self.arrays[number] = look(reference)

    def as_json(self) -> dict[str, Any]:
        """What a session file says of them: nothing if there are none."""
        references = [reference.as_json() for reference in self.references]
        return {"sources": references} if references else {}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Sources:
        """The inverse of :meth:`as_json`."""
        sources = cls()
        sources.references = [
            ImageReference.from_json(each) for each in content.get("sources", ())
        ]
        sources.arrays = [None] * len(sources.references)
        return sources

    def _number(self, data: Any, reference: ImageReference) -> int:
        for number, array in enumerate(self.arrays):
            if array is data:
                return number
        self.arrays.append(data)
        self.references.append(reference)
        return len(self.arrays) - 1


def viewer_images(
    viewer: napari.components.ViewerModel, known: Callable[[Any], str]
) -> Callable[[ImageReference], Any]:
    """How to find a source among the layers of a viewer, else where it came from.

    ``known`` has the checksums of some arrays, "" for others.
    """

    def look(reference: ImageReference) -> Any:
        layer, _ = find_layer(viewer.layers, reference, known)
        if layer is not None:
            return full_resolution(layer)
        try:
            return array_of(open_layer(reference))
        except ImageError as error:
            raise ImageError(
                f"The model saw {reference.name!r} too: open that image first."
            ) from error

    return look


def files(
    image: ImageReference, data: Any, path: Path | None
) -> Callable[[ImageReference], Any]:
    """How to find a source without a viewer.

    Parameters
    ----------
    image : ImageReference
        What the session is about.
    data : array
        That image.
    path : Path, optional
        Where it is now, perhaps with other channels.
    """

    def look(reference: ImageReference) -> Any:
        if reference.checksum and reference.checksum == image.checksum:
            return data
        if path is not None:
            try:
                return array_of(open_layer(reference, path))
            except ImageError:
                pass
        return array_of(open_layer(reference))

    return look
