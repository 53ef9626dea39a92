"""From any numeric pixel type to the 8-bit RGB the network looks at."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sam2_core.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


MAX_FRAMES = 16  # from which the value range of a stack is determined


class Images(Protocol):
    """Anything with a length whose items are images, such as a (T, H, W) array."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


def to_rgb8(
    image: ArrayLike, value_range: tuple[float, float] | None = None
) -> NDArray[np.uint8]:
    """Map an image of any numeric type linearly to 8-bit RGB.

    Parameters
    ----------
    image : array-like, (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)
        Grey, RGB or RGBA (alpha is dropped); bool, integer or float of any width.
    value_range : (float, float), optional
        The values that become 0 and 255; what lies outside is clipped. Default: uint8
        RGB is taken as it is, bool becomes 0 and 255, everything else (also grey
        uint8, which is often dim) is stretched to its :func:`robust_range`.

    Returns
    -------
    ndarray, (H, W, 3) uint8
        C-contiguous, never sharing memory with `image`. NaN becomes 0, -inf 0 and
        +inf 255. Without `value_range`, a constant image is black.

    Raises
    ------
    ImageError
        The array is empty, not numeric or not of an image's shape, or the range is not
        two finite numbers in ascending order.
    """
    pixels = _as_pixels(image)
    if value_range is None:
        low, high = robust_range([pixels])
    else:
        low, high = check_value_range(value_range)
    if pixels.dtype != np.uint8 or (low, high) != (0.0, 255.0):
        pixels = _scale(pixels, low, high)
    rgb = np.empty((*pixels.shape[:2], 3), np.uint8)
    for channel in range(3):  # several times faster than broadcasting grey
        rgb[..., channel] = pixels if pixels.ndim == 2 else pixels[..., channel]
    return rgb


def robust_range(
    source: Images,
    percentiles: tuple[float, float] = (0.1, 99.9),
    max_frames: int = MAX_FRAMES,
    max_pixels: int = 2**20,
) -> tuple[float, float]:
    """Value range that shows a whole stack well, estimated from a sample of it.

    At most `max_frames` evenly spaced frames are read, one at a time, and thinned to a
    regular grid so that all together give about `max_pixels` pixels. The percentiles
    lie far out because in fluorescence most pixels are background: objects on a
    hundredth of the area must still define the upper end.

    Parameters
    ----------
    source : sequence of images
        A (T, H, W) or (T, H, W, 3) array (numpy, dask, zarr), a list of images, or
        anything else with a length and images as items. Use ``[image]`` for one image.
    percentiles : (float, float)
        Percentiles of the finite values that become black and white.
    max_frames, max_pixels : int
        Size of the sample.

    Returns
    -------
    (float, float)
        Low and high, always low < high. uint8 RGB and bool are shown as they are: the
        first image decides, (0, 255) or (0, 1). Where the percentiles coincide the
        extremes of the sample are used; a sample of a single value ``v`` starts there
        (``low == v``), one without finite values gives (0, 1).

    Raises
    ------
    ImageError
        There is no image, or one of them is empty or not numeric.
    """
    length = len(source)
    if length == 0:
        raise ImageError("The stack has no frames; give at least one image.")
    indices = np.linspace(0, length - 1, min(length, max_frames)).round()
    samples: list[NDArray[np.float64]] = []
    for index in indices.astype(int):
        pixels = _as_pixels(source[int(index)])
        if not samples and pixels.dtype == np.bool_:
            return 0.0, 1.0
        if not samples and pixels.dtype == np.uint8 and pixels.ndim == 3:
            return 0.0, 255.0
        height, width = pixels.shape[:2]
        step = math.ceil(math.sqrt(height * width * len(indices) / max_pixels))
        sample = pixels[::step, ::step].astype(np.float64).ravel()
        samples.append(sample[np.isfinite(sample)])
    values = np.concatenate(samples)
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(values, percentiles))
    if not low < high:
        low, high = float(values.min()), float(values.max())
    if not low < high:
        high = low + max(1.0, abs(low))
    return check_value_range((low, high))


def has_contrast(shown: NDArray[np.uint8]) -> bool:
    """Whether an (H, W, 3) image has two pixels that differ."""
    return bool((shown != shown[0, 0]).any())


def check_contrast(shown: NDArray[np.uint8], name: str) -> None:
    """Raise if there is nothing to see in an image.

    Parameters
    ----------
    shown : ndarray, (H, W, 3) uint8
        As the network looks at it.
    name : str
        What to call it in the message.

    Raises
    ------
    ImageError
        All pixels are the same.
    """
    if not has_contrast(shown):
        raise ImageError(
            f"{name} shows nothing to segment: the image is constant or has no finite "
            "values within the value range."
        )


def check_value_range(value_range: tuple[float, float]) -> tuple[float, float]:
    """Return the range as two floats, or raise.

    Parameters
    ----------
    value_range : (float, float)
        Values that become black and white.

    Raises
    ------
    ImageError
        It is not two finite numbers with low < high.
    """
    try:
        low, high = (float(value) for value in value_range)
    except (TypeError, ValueError) as exc:
        raise ImageError(
            f"value_range must be two numbers (low, high), not {value_range!r}."
        ) from exc
    if not (low < high and math.isfinite((high - low) * 255)):
        raise ImageError(
            f"value_range must be two finite numbers with low < high, "
            f"not ({low:g}, {high:g})."
        )
    return low, high


def _as_pixels(image: ArrayLike) -> NDArray[Any]:
    """Check an image and drop alpha; (H, W) or (H, W, 3), numeric, not a copy."""
    try:
        pixels = np.asarray(image)
    except ValueError as exc:
        raise ImageError("An image must be an array with equally long rows.") from exc
    if pixels.dtype.kind not in "buif":
        raise ImageError(
            f"An image must hold real numbers, not {pixels.dtype}; convert it first "
            "(for complex data, take np.abs)."
        )
    is_colour = pixels.ndim == 3 and pixels.shape[2] in (1, 3, 4)
    if pixels.ndim != 2 and not is_colour:
        raise ImageError(
            f"An image must have the shape (H, W), (H, W, 3) or (H, W, 4), not "
            f"{pixels.shape}; choose one plane or channel."
        )
    if pixels.size == 0:
        raise ImageError(f"The image is empty (shape {pixels.shape}).")
    if pixels.ndim == 3:
        return pixels[..., 0] if pixels.shape[2] == 1 else pixels[..., :3]
    return pixels


def _scale(pixels: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Map [low, high] to [0, 255], rounded to nearest; outside clipped, NaN to 0."""
    work = pixels.astype(_work_dtype(pixels.dtype, low, high))
    np.fmax(work, low, out=work)  # unlike np.clip, this also turns NaN into low
    np.fmin(work, high, out=work)
    work -= low
    # Multiplied first: exact for 16-bit integers, so that only the division rounds.
    work *= 255.0
    work /= high - low
    np.rint(work, out=work)
    return work.astype(np.uint8)


def _work_dtype(dtype: np.dtype[Any], low: float, high: float) -> Any:
    """float32 where it is exact enough, float64 for wide types and odd ranges."""
    narrow_type = dtype.itemsize <= 2 or (dtype.kind == "f" and dtype.itemsize == 4)
    largest, span = max(abs(low), abs(high)), high - low
    ordinary_range = span > 1e-30 and largest < 1e30 and span > largest / 4096
    return np.float32 if narrow_type and ordinary_range else np.float64
