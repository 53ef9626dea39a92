"""The images that the model saw, as sessions remember them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from napari_sam2._images import full_resolution
from napari_sam2.picture._channels import blend_from_json, channel_as_json
from napari_sam2.picture._image_reference import (
    ImageReference,
    array_of,
    find_layer,
    open_layer,
)
from sam2_core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import napari.components

    from napari_sam2.picture._channels import Blend


class Sources:
    """Arrays of all images so far, and how to find them again.

    Those of a session that was opened have no array until :meth:`find` was called.
    Otherwise an array is kept until its checksum is known, and then as long as somebody
    else does: labels stay when images are removed to make room.

    Attributes
    ----------
    references : list of ImageReference
        Where each came from, as far as it is known.
    """

    def __init__(self) -> None:
        self.references: list[ImageReference] = []
        self._arrays: list[Callable[[], Any]] = []  # None where they are not here

    def __bool__(self) -> bool:
        return bool(self.references)

    def describe(self, blend: Blend) -> list[dict[str, Any]]:
        """A blend in plain JSON; its images are among the sources from now on."""
        return [
            channel_as_json(channel, self.number(channel.data, channel.reference))
            for channel in blend.channels
        ]

    def blend(self, content: Sequence[Mapping[str, Any]]) -> Blend:
        """The inverse of :meth:`describe`; ImageError if an image is not here."""
        numbers = {int(channel["source"]) for channel in content}
        arrays = {number: self.array(number) for number in numbers}
        return blend_from_json(content, arrays, self.references)

    def number(self, data: Any, reference: ImageReference) -> int:
        """Which source an array is; it is one from now on."""
        for number, held in enumerate(self._arrays):
            if held() is data:
                return number
        self._arrays.append(partial(_itself, data))
        self.references.append(reference)
        return len(self._arrays) - 1

    def array(self, number: int) -> Any:
        """The inverse of :meth:`number`; ImageError if the image is not here."""
        found = self._arrays[number]()
        if found is None:
            raise ImageError(f"Open the image {self.references[number].name!r} first.")
        return found

    def all_of(self, image: ImageReference) -> set[int]:
        """Those that are this image."""
        known = [each.checksum for each in self.references]
        return {n for n, found in enumerate(known) if found and found == image.checksum}

    def unidentified(self, known: Callable[[Any], str]) -> Iterator[tuple[int, Any]]:
        """Number and array of those whose checksum ``known`` does not have either."""
        for number, reference in enumerate(self.references):
            data = self._arrays[number]()
            if reference.checksum or data is None:
                continue
            if found := known(data):
                self.identify(number, found)
            else:
                yield number, data

    def identify(self, number: int, found: str) -> None:
        """Remember the checksum of an array."""
        self.references[number] = replace(self.references[number], checksum=found)
        self._arrays[number] = _weakly(self._arrays[number]())

    def find(
        self, look: Callable[[ImageReference], Any], image: ImageReference, data: Any
    ) -> None:
        """Get the arrays that are missing; that of ``image`` is ``data``."""
        own = self.all_of(image)
        for number, reference in enumerate(self.references):
            if self._arrays[number]() is None:
                found = data if number in own else look(reference)
                self._arrays[number] = partial(_itself, found)

    def release(self) -> None:
        """Keep no array that nobody else does."""
        self._arrays = [_weakly(held()) for held in self._arrays]

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
        sources._arrays = [partial(_itself, None)] * len(sources.references)
        return sources


def _itself(array: Any) -> Any:
    return array


def _weakly(array: Any) -> Callable[[], Any]:
    try:
        return ref(array)
    except TypeError:  # None, and arrays of other libraries
        return partial(_itself, array)


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


def files(paths: Sequence[Path]) -> Callable[[ImageReference], Any]:
    """How to find a source without a viewer: in these files, else where it came from.

    One file may hold several, as channels.
    """

    def look(reference: ImageReference) -> Any:
        for path in paths:
            try:
                return array_of(open_layer(reference, path))
            except ImageError:
                pass
        return array_of(open_layer(reference))

    return look
