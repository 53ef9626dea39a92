"""Which image a session is about: where it came from, and how to tell it again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from napari_sam2._images import full_resolution
from napari_sam2._layers import SPATIAL, image_shape
from sam2_core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from napari.layers import Image

HASHED_PLANES = 16
ORIGIN = "napari_sam2_origin"  # in the metadata of an image that a session brought
LayerData: TypeAlias = tuple[Any, dict[str, Any], str]


@dataclass(frozen=True)
class ImageReference:
    """An image, by origin and content.

    Attributes
    ----------
    name : str
        Of the layer.
    path, reader : str
        File and reader plugin; "" for images that came from no file.
    sample : tuple of str
        Plugin and key of a sample; () for others.
    shape : tuple of int
        With the channels of RGB.
    dtype : str
    checksum : str
        See :func:`checksum`; "" if it is not known.
    """

    name: str
    path: str
    reader: str
    sample: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    checksum: str = ""

    def as_json(self) -> dict[str, Any]:
        """What a session file says of the image."""
        content: dict[str, Any] = {"name": self.name}
        if self.path:
            content |= {"path": self.path, "reader": self.reader}
        if self.sample:
            content["sample"] = list(self.sample)
        content |= {"shape": list(self.shape), "dtype": self.dtype}
        return content | {"checksum": self.checksum}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ImageReference:
        """The inverse of :meth:`as_json`."""
        return cls(
            str(content.get("name", "image")),
            str(content.get("path", "")),
            str(content.get("reader", "")),
            tuple(str(part) for part in content.get("sample", ())),
            tuple(int(n) for n in content["shape"]),
            str(content["dtype"]),
            str(content.get("checksum", "")),
        )

    @property
    def is_there(self) -> bool:
        """Whether it can be read from where it came from."""
        return bool(self.sample or (self.path and Path(self.path).exists()))

    @property
    def request(self) -> str:
        """What to ask of somebody in front of a window when it is not there."""
        place = self.path or "any known place"
        return f"Open the image {self.name!r} first: it is not at {place}."

    def why_not(self, data: Any, check_content: bool = True, known: str = "") -> str:
        """Reason why an array is not this image; "" when it is.

        ``known`` is its checksum, computed if need be.
        """
        if tuple(data.shape) != self.shape:
            return f"its shape is {tuple(data.shape)}, not {self.shape}"
        if str(np.dtype(data.dtype)) != self.dtype:
            return f"its pixels are {np.dtype(data.dtype)}, not {self.dtype}"
        if not check_content or not self.checksum:
            return ""
        if (known or checksum(data)) != self.checksum:
            return "its pixels differ (the checksum is another)"
        return ""


def refer(image: Image, content_checksum: str = "") -> ImageReference:
    """Reference to the image of a layer."""
    data, source = full_resolution(image), image.source
    shape = tuple(int(n) for n in data.shape)
    assert shape[: image.ndim] == image_shape(image)
    origin: ImageReference | None = image.metadata.get(ORIGIN)
    if origin is not None:  # else its source would be a session file
        return replace(origin, name=image.name, checksum=content_checksum)
    return ImageReference(
        image.name,
        str(Path(source.path).absolute()) if source.path else "",
        str(source.reader_plugin or ""),
        tuple(source.sample or ()),
        shape,
        str(np.dtype(data.dtype)),
        content_checksum,
    )


def checksum(data: Any) -> str:
    """What :func:`checksum_steps` ends with."""
    *_, result = checksum_steps(data)
    return str(result)


def checksum_steps(data: Any) -> Iterator[str]:
    """SHA-256 over shape, type and at most 16 evenly spaced planes of an array.

    Reads at most 16 planes, so it is quick for lazy stacks too; planes that cannot be
    read count as such. A plane is all but the
    axes before the last two (three with channels).

    Yields
    ------
    str
        "" after each plane, so that the work can be stopped there; then the checksum.
    """
    digest = hashlib.sha256(f"{tuple(data.shape)} {np.dtype(data.dtype)}".encode())
    channels = len(data.shape) > 2 and data.shape[-1] in (3, 4)
    lead = tuple(data.shape[: -3 if channels else -2])
    number = int(np.prod(lead, dtype=np.int64))
    for flat in sorted({int(i) for i in np.linspace(0, number - 1, HASHED_PLANES)}):
        index = tuple(int(i) for i in np.unravel_index(flat, lead)) if lead else ()
        try:
            plane = np.ascontiguousarray(np.asarray(data[index]))
        except Exception:  # noqa: BLE001  lazy arrays raise whatever their files do
            digest.update(b"unreadable")
        else:
            digest.update(plane.tobytes())
        yield ""
    yield f"sha256-{HASHED_PLANES}-planes:{digest.hexdigest()}"


def find_layer(
    layers: Iterable[Any], reference: ImageReference, known: Callable[[Any], str]
) -> tuple[Image | None, str]:
    """Layer that a session is about, of those of a viewer.

    Parameters
    ----------
    layers : iterable of Layer
        Where it is looked for; those of its name come first.
    reference : ImageReference
        From the session.
    known : callable
        Has the checksums of some arrays, "" for others.

    Returns
    -------
    Image or None
        None if there is none.
    str
        Why the last one that might have been it is not; "" if none might.
    """
    images = [layer for layer in layers if type(layer).__name__ == "Image"]
    images.sort(key=lambda layer: layer.name != reference.name)
    reason = ""
    for layer in images:
        data = full_resolution(layer)
        if reference.why_not(data, check_content=False):
            continue
        reason = reference.why_not(data, known=known(data))
        if not reason:
            return layer, ""
    return None, reason


def open_layer(reference: ImageReference, path: Path | None = None) -> LayerData:
    """Read the image that a session is about.

    Parameters
    ----------
    reference : ImageReference
        From the session.
    path : Path, optional
        Where the image is now, if not where it was.

    Returns
    -------
    tuple
        As napari's readers give it: data, attributes, "image".

    Raises
    ------
    ImageError
        If it is not there, or not the same image.
    """
    reason = "nothing was found in it"
    for layer in _candidates(reference, path):
        reason = reference.why_not(array_of(layer))
        if not reason:
            return layer
        for part in _split(layer, reference):
            if not reference.why_not(array_of(part)):
                return part
    where = str(path or reference.path or reference.name)
    raise ImageError(f"{where} is not the image of the session: {reason}.")


def array_of(layer: LayerData) -> Any:
    """The array of layer data; of a multiscale image, its finest level."""
    data = layer[0]
    return data[0] if isinstance(data, list | tuple) else data


def _candidates(reference: ImageReference, path: Path | None) -> list[LayerData]:
    import npe2

    manager = npe2.PluginManager.instance()
    manager.discover()
    if path is None and reference.sample:
        for plugin, samples in manager.iter_sample_data():
            for sample in samples:
                if (plugin, sample.key) == reference.sample:
                    return [part for layer in sample.open() for part in _parts(layer)]
        raise ImageError(f"The sample {' / '.join(reference.sample)} is not installed.")
    if path is None and not reference.path:
        raise ImageError(
            f"The image {reference.name!r} came from no file: save it and say where it "
            "is with --image."
        )
    place = path or Path(reference.path)
    if not place.exists():
        raise ImageError(
            f"The image is not at {place} any more: say where it is with --image."
        )
    plugin_name = reference.reader if path is None and reference.reader else None
    try:
        layers = npe2.read([str(place)], stack=False, plugin_name=plugin_name)
    except (ValueError, OSError) as error:
        raise ImageError(f"{place} cannot be read: {error}") from error
    return [part for layer in layers for part in _parts(layer)]


def _parts(layer: Any) -> list[LayerData]:
    """Layer data as napari would add it: one layer for each channel."""
    data, attributes, kind = _complete(layer)
    axis = attributes.pop("channel_axis", None)
    if axis is None or isinstance(data, list | tuple):
        return [(data, attributes, kind)]
    number = int(data.shape[axis])
    return [(data.take(i, axis=axis), attributes, kind) for i in range(number)]


def _split(layer: LayerData, reference: ImageReference) -> Iterator[LayerData]:
    """What is in layer data with one axis more, as if napari had split the stack."""
    data, attributes, kind = array_of(layer), layer[1], layer[2]
    axes = [
        axis
        for axis in range(len(data.shape))
        if (*data.shape[:axis], *data.shape[axis + 1 :]) == reference.shape
    ]
    for axis in axes if reference.checksum else ():
        kept = {k: v for k, v in attributes.items() if k not in SPATIAL}
        for name in ("scale", "translate", "units", "axis_labels"):
            if len(values := list(attributes.get(name, ()))) == len(data.shape):
                kept[name] = values[:axis] + values[axis + 1 :]
        for i in range(data.shape[axis]):
            yield data[(slice(None),) * axis + (i,)], kept, kind


def _complete(layer: Any) -> LayerData:
    attributes = dict(layer[1]) if len(layer) > 1 else {}
    return layer[0], attributes, layer[2] if len(layer) > 2 else "image"
