"""Classical segmentation from a click or a box: what a model has to beat.

Both methods see the image and the prompt, nothing else. Sizes are in pixels.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import random_walker, watershed

if TYPE_CHECKING:
    from sam2_core.training.examples.clicks import Click

Mask: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float32]
Window: TypeAlias = tuple[slice, slice]

_SMOOTHING = 1.0  # sigma of the Gaussian before any threshold
_REACH = {"fine": 1 / 48, "wide": 1 / 16}  # of a local threshold, in image sides
_SPECK = 10  # smaller specks and holes (pixels) are noise
_SEED_DISTANCE = 5  # two objects are at least this far apart
_FALLBACK_RADIUS = 6.0  # a disc of this size where nothing else answers
_WALK_SIDE = 96  # a random walk runs on at most this many pixels squared


class Baseline(Protocol):
    """A method that turns an image and a prompt into one mask."""

    name: str

    def set_image(self, image: NDArray[Any]) -> None:
        """Take an image, (H, W) or (H, W, 3), any numeric dtype."""

    def from_click(self, click: Click) -> Mask:
        """Return the (H, W) mask for one positive click."""

    def from_box(self, box: NDArray[Any]) -> Mask:
        """Return the (H, W) mask for a box ``x0, y0, x1, y1``."""


class ThresholdWatershed:
    """Threshold, split touching objects by watershed, take the one that was meant.

    Every pixel belongs to a bright or to a dark component, so a click chooses the
    polarity by itself.

    Parameters
    ----------
    method : {"otsu", "fine", "wide"}
        One threshold for the image, or a Gaussian-weighted local mean as threshold,
        with a standard deviation of 1/48 or 1/16 of the longer side.
    """

    def __init__(self, method: str = "otsu") -> None:
        if method != "otsu" and method not in _REACH:
            raise ValueError(f"Unknown threshold method {method!r}.")
        self.name = f"threshold_{method}"
        self._method = method
        self._smooth: Floats = np.zeros((0, 0), np.float32)
        self._labels: list[NDArray[np.int32]] = []
        self._image: NDArray[Any] | None = None

    def set_image(self, image: NDArray[Any]) -> None:
        """Threshold the image and label its bright and its dark components.

        Nothing happens if this very array was the last one.
        """
        if image is self._image:
            return
        self._image = image
        self._smooth = ndimage.gaussian_filter(_grey(image), _SMOOTHING)
        bright = self._smooth > self._threshold(self._smooth)
        self._labels = [_split(_despeckled(bright)), _split(_despeckled(~bright))]

    def from_click(self, click: Click) -> Mask:
        """Return the component under the click, holes filled."""
        for labels in self._labels:
            label = labels[click.y, click.x]
            if label:
                rows, columns = np.nonzero(labels == label)
                box = np.array([columns.min(), rows.min(), columns.max(), rows.max()])
                window = _window(box, labels.shape)
                part = ndimage.binary_fill_holes(labels[window] == label)
                return _pasted(part, window, labels.shape)
        return _disc(self._smooth.shape, click.x, click.y, _FALLBACK_RADIUS)

    def from_box(self, box: NDArray[Any]) -> Mask:
        """Return the component that fills the box best.

        Candidates are the components of the whole image, clipped to the box, and those
        of an Otsu threshold of the box alone; the one that overlaps most with the
        ellipse inscribed in the box is taken.
        """
        shape = self._smooth.shape
        window = _window(box, shape)
        ellipse = _ellipse(box, window)
        crops = [labels[window] for labels in self._labels]
        inner = self._smooth[_window(box, shape, margin=0.15)]
        bright = self._smooth[window] > _otsu(inner)
        crops += [ndimage.label(part)[0] for part in (bright, ~bright)]
        best, best_overlap = ellipse, 0.0
        for labels in crops:
            label, overlap = _best_overlap(labels, ellipse)
            if overlap > best_overlap:
                best = ndimage.binary_fill_holes(labels == label)
                best_overlap = overlap
        return _pasted(best, window, shape)

    def _threshold(self, smooth: Floats) -> Floats | float:
        if self._method == "otsu":
            return _otsu(smooth)
        sigma = max(_REACH[self._method] * max(smooth.shape), 5.0)
        local: Floats = ndimage.gaussian_filter(smooth, sigma)
        return local


class RandomWalker:
    """Random walks from the clicked object and from a ring around it.

    From a click, the ring is a square frame whose size follows the thresholded
    component under the click (twice its radius). From a box, everything outside is
    background and the middle half of the inscribed ellipse is object.

    Parameters
    ----------
    beta : float, default 1000
        How strongly edges stop a walk.
    sizes : ThresholdWatershed, optional
        What finds that component; shared to save time.
    """

    name = "random_walker"

    def __init__(
        self, beta: float = 1000.0, sizes: ThresholdWatershed | None = None
    ) -> None:
        self._beta = beta
        self._sizes = sizes or ThresholdWatershed("fine")
        self._channels: Floats = np.zeros((0, 0, 1), np.float32)

    def set_image(self, image: NDArray[Any]) -> None:
        """Smooth the image, every channel of it."""
        self._sizes.set_image(image)
        channels = _scaled(image)
        if channels.ndim == 2:
            channels = channels[..., None]
        self._channels = ndimage.gaussian_filter(channels, (_SMOOTHING, _SMOOTHING, 0))

    def from_click(self, click: Click) -> Mask:
        """Walk from a small disc at the click and from a frame around it."""
        area = np.count_nonzero(self._sizes.from_click(click))
        reach = float(np.clip(2.0 * math.sqrt(area / math.pi), 12, 160))
        shape = self._channels.shape[:2]
        frame = np.array(
            [click.x - reach, click.y - reach, click.x + reach, click.y + reach]
        )
        window = _window(frame, shape)
        seeds = np.zeros(shape, np.int32)[window]
        # The image's own border is no background: an object may be cut by it.
        rows, columns = window
        seeds[: 1 if rows.start > 0 else 0] = 2
        seeds[:, : 1 if columns.start > 0 else 0] = 2
        seeds[len(seeds) - (rows.stop < shape[0]) :] = 2
        seeds[:, seeds.shape[1] - (columns.stop < shape[1]) :] = 2
        x, y = click.x - columns.start, click.y - rows.start
        seeds[_disc(seeds.shape, x, y, max(1.5, reach / 8))] = 1
        return self._walk(seeds, window, (y, x))

    def from_box(self, box: NDArray[Any]) -> Mask:
        """Walk from the middle of the box and from its outside."""
        shape = self._channels.shape[:2]
        inner, window = _window(box, shape), _window(box, shape, margin=0.15)
        seeds = np.full(shape, 2, np.int32)
        seeds[inner] = 0
        seeds[inner][_ellipse(box, inner, scale=0.5)] = 1
        y, x = (int(box[1] + box[3]) // 2, int(box[0] + box[2]) // 2)
        seeds[y, x] = 1
        centre = (y - window[0].start, x - window[1].start)
        return self._walk(seeds[window], window, centre)

    def _walk(
        self, seeds: NDArray[np.int32], window: Window, centre: tuple[int, int]
    ) -> Mask:
        """Label a window by random walks; keep the part that holds the centre."""
        shape = self._channels.shape[:2]
        step = math.ceil(max(seeds.shape) / _WALK_SIDE)
        small = _thinned(seeds, step)
        small[centre[0] // step, centre[1] // step] = 1
        if not (small == 2).any():
            return _pasted(np.ones(seeds.shape, bool), window, shape)
        if not (small == 0).any():
            labels = small
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                labels = random_walker(
                    self._channels[window][::step, ::step],
                    small,
                    beta=self._beta,
                    mode="cg_j",
                    tol=1e-3,
                    channel_axis=-1,
                )
        full = np.kron(labels == 1, np.ones((step, step), bool))
        full = full[: seeds.shape[0], : seeds.shape[1]]
        parts, _ = ndimage.label(full)
        kept = full if parts[centre] == 0 else parts == parts[centre]
        return _pasted(ndimage.binary_fill_holes(kept), window, shape)


def classical_baselines() -> list[Baseline]:
    """Return the methods that an evaluation takes the best of."""
    fine = ThresholdWatershed("fine")
    thresholds = [ThresholdWatershed("otsu"), fine, ThresholdWatershed("wide")]
    return [*thresholds, RandomWalker(sizes=fine)]


def _scaled(image: NDArray[Any]) -> Floats:
    """Return the image as float32 with its 0.5 and 99.5 percentiles at 0 and 1."""
    data = np.nan_to_num(np.asarray(image, dtype=np.float32))
    low, high = np.percentile(data, (0.5, 99.5))
    scaled: Floats = np.clip((data - low) / max(float(high - low), 1e-6), 0, 1)
    return scaled


def _grey(image: NDArray[Any]) -> Floats:
    scaled = _scaled(image)
    return scaled if scaled.ndim == 2 else scaled.mean(axis=-1)


def _otsu(values: Floats) -> float:
    return float(threshold_otsu(values)) if np.ptp(values) > 0 else float(values.min())


def _despeckled(mask: Mask) -> Mask:
    """Fill holes of a few pixels."""
    holes, _ = ndimage.label(~mask)
    small = np.bincount(holes.ravel()) < _SPECK
    small[0] = False
    filled: Mask = mask | small[holes]
    return filled


def _split(mask: Mask) -> NDArray[np.int32]:
    """Label components, touching ones split at their necks by watershed."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    smooth = ndimage.gaussian_filter(depth, _SMOOTHING)
    components, _ = ndimage.label(mask)
    peaks = peak_local_max(
        smooth, min_distance=_SEED_DISTANCE, labels=components, exclude_border=False
    )
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels: NDArray[np.int32] = watershed(-smooth, markers, mask=mask)
    return labels


def _window(box: NDArray[Any], shape: tuple[int, ...], margin: float = 0.0) -> Window:
    """Return the slices of a box, widened by a part of its longer side + 2 pixels."""
    x0, y0, x1, y1 = (float(value) for value in box)
    extra = margin * max(x1 - x0, y1 - y0) + (2.0 if margin else 0.0)
    return (
        slice(max(0, round(y0 - extra)), min(shape[0], round(y1 + extra) + 1)),
        slice(max(0, round(x0 - extra)), min(shape[1], round(x1 + extra) + 1)),
    )


def _ellipse(box: NDArray[Any], window: Window, scale: float = 1.0) -> Mask:
    """Return the ellipse inscribed in a box as a mask of the window."""
    x0, y0, x1, y1 = (float(value) for value in box)
    y, x = np.ogrid[window]
    across = (x - (x0 + x1) / 2) / max((x1 - x0 + 1) / 2 * scale, 0.5)
    down = (y - (y0 + y1) / 2) / max((y1 - y0 + 1) / 2 * scale, 0.5)
    ellipse: Mask = across**2 + down**2 <= 1
    return ellipse


def _disc(shape: tuple[int, ...], x: float, y: float, radius: float) -> Mask:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    disc: Mask = (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    return disc


def _best_overlap(labels: NDArray[np.int32], target: Mask) -> tuple[int, float]:
    """Return the label whose IoU with the target is largest, and that IoU."""
    n = int(labels.max()) + 1
    inside = np.bincount(labels[target], minlength=n).astype(float)
    union = np.bincount(labels.ravel(), minlength=n) + target.sum() - inside
    overlap = inside / np.maximum(union, 1)
    overlap[0] = 0.0
    label = int(overlap.argmax())
    return label, float(overlap[label])


def _thinned(seeds: NDArray[np.int32], step: int) -> NDArray[np.int32]:
    """Reduce by blocks of step x step pixels; a block takes its highest seed."""
    if step == 1:
        return seeds.copy()
    rows, columns = (-(-side // step) * step for side in seeds.shape)
    padded = np.zeros((rows, columns), np.int32)
    padded[: seeds.shape[0], : seeds.shape[1]] = seeds
    blocks = padded.reshape(rows // step, step, columns // step, step)
    thinned: NDArray[np.int32] = blocks.max(axis=(1, 3))
    return thinned


def _pasted(mask: Mask, window: Window, shape: tuple[int, ...]) -> Mask:
    full = np.zeros(shape, bool)
    full[window] = mask
    return full
