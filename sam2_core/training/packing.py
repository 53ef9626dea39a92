"""Make a training folder small, for a machine with a GPU that is reached for minutes.

    python -m sam2_core.training.packing pack DATA data.zip
    python -m sam2_core.training.packing unpack data.zip DATA

Images are kept without loss, as WebP; what comes back is equal, pixel by pixel.
"""

from __future__ import annotations

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import typer
from PIL import Image

from sam2_core.errors import ImageError

if TYPE_CHECKING:
    import numpy.typing as npt

app = typer.Typer(help=__doc__, add_completion=False)
MANIFEST = "manifest.json"
# What lies in the folder that a TIFF file becomes.
PLANE, STACK, LABELS = "plane", "stack", "labels"


@app.command()
def pack(folder: Path, file: Path) -> None:
    """Write all pairs of a training folder, and its manifest, to one file.

    Parameters
    ----------
    folder : path
        In the layout of `sam2_core.training.dataset`, images of uint8.
    file : path
        A ZIP file; written whole or not at all.

    Raises
    ------
    ImageError
        There is nothing to pack, or an image is not uint8.
    """
    paths = sorted(folder.glob("*/**/*_img.tif"))
    if not paths:
        raise ImageError(f"{folder} holds no images named *_img.tif.")
    part = file.with_name(file.name + ".part")
    with zipfile.ZipFile(part, "w") as packed, ThreadPoolExecutor() as threads:
        if (folder / MANIFEST).is_file():
            packed.write(folder / MANIFEST, MANIFEST)
        for path in paths:
            image = np.asarray(tifffile.imread(path))
            if image.dtype != np.uint8:
                raise ImageError(f"{path} is {image.dtype}: convert it to uint8 first.")
            single = image.ndim == 2 or (image.ndim == 3 and image.shape[-1] == 3)
            inside = path.relative_to(folder) / (PLANE if single else STACK)
            planes = threads.map(_webp, image[None] if single else image)
            for index, plane in enumerate(planes):
                packed.writestr(f"{inside.as_posix()}/{index:05d}.webp", plane)
            labels = path.with_name(path.name.replace("_img.tif", "_lab.tif"))
            if labels.is_file():
                data = io.BytesIO()
                np.save(data, tifffile.imread(labels))
                name = (labels.relative_to(folder) / LABELS / "all.npy").as_posix()
                packed.writestr(name, data.getvalue(), zipfile.ZIP_LZMA)
    part.replace(file)


@app.command()
def unpack(file: Path, folder: Path) -> None:
    """Write the training folder again, as uncompressed TIFF files.

    Parameters
    ----------
    file : path
        From :func:`pack`.
    folder : path
        Made if it does not exist.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file) as packed, ThreadPoolExecutor() as threads:
        if MANIFEST in packed.namelist():
            packed.extract(MANIFEST, folder)
        names = [PurePosixPath(name) for name in packed.namelist() if name != MANIFEST]
        for inside, members in groupby(names, lambda name: name.parent):
            data = [packed.read(str(name)) for name in members]
            if inside.name == LABELS:
                planes = list(np.load(io.BytesIO(data[0]))[None])
            else:
                planes = list(threads.map(_pixels, data))
            array = np.stack(planes) if inside.name == STACK else planes[0]
            colours = inside.name != LABELS and planes[0].ndim == 3
            path = folder / inside.parent
            path.parent.mkdir(parents=True, exist_ok=True)
            photometric = "rgb" if colours else "minisblack"
            tifffile.imwrite(path, array, photometric=photometric)


def _webp(plane: npt.NDArray[np.uint8]) -> bytes:
    data = io.BytesIO()
    rgb = Image.fromarray(plane).convert("RGB")
    # Grey is told by a note, since WebP has colours only.
    grey = b"grey" if plane.ndim == 2 else b"rgb"
    rgb.save(data, "webp", lossless=True, quality=75, method=4, xmp=grey)
    return data.getvalue()


def _pixels(data: bytes) -> npt.NDArray[Any]:
    """(H, W) or (H, W, 3)."""
    image = Image.open(io.BytesIO(data))
    rgb = np.asarray(image.convert("RGB"))
    grey = image.info.get("xmp") == b"grey"
    return np.ascontiguousarray(rgb[..., 0]) if grey else rgb


if __name__ == "__main__":
    app()
