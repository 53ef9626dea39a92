"""Made-up z-stacks and time-lapses with exact labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from sam2_core.training.dataset import LabelledStack
from sam2_core.training.examples.augment import FloatArray, smooth_field
from sam2_core.training.generator.growing import GROWING_STYLES, Colony
from sam2_core.training.generator.motion import advance, population
from sam2_core.training.generator.rendering import expose, random_look, render
from sam2_core.training.generator.shapes import Blob, log_uniform, paint, random_radii
from sam2_core.training.generator.styles import Look, random_texture
from sam2_core.training.generator.synthetic import (
    VERSION,
    low_priority_map,
    read_arrays,
    write_arrays,
)

LabelStack = npt.NDArray[np.int32]
SET_NAMES = {"z": "synthetic_z", "t": "synthetic_t"}
BLOB_STYLES = ("fluorescence",) * 3 + (
    "ring",
    "stain",
    "two_channel",
    "grain",
    "haze",
    "haze",
    "projection",
)
MOVING_STYLES = (
    ("fluorescence",) * 3
    + ("phase",) * 3
    + ("dic", "two_channel", "ring", "zernike", "projection", "projection")
)
PACKED_STYLES = ("membrane", "membrane", "em")


def generate_stack(
    rng: np.random.Generator, size: int = 256, length: int = 12, kind: str | None = None
) -> tuple[npt.NDArray[np.uint8], LabelStack, str]:
    """Make one stack and its labels.

    Parameters
    ----------
    rng : numpy.random.Generator
        The same state gives the same arrays.
    size : int
        Side of the frames in pixels.
    length : int
        Number of frames.
    kind : str, optional
        A key of ``KINDS``; random by default.

    Returns
    -------
    images : (length, size, size) or (length, size, size, 3) uint8
    labels : (length, size, size) int32
        0 is background; an object keeps its label, daughters get new ones.
    axis : str
        ``"z"`` or ``"t"``.
    """
    kind = kind or str(rng.choice(list(KINDS)))
    return KINDS[kind](rng, size, length)


def _bodies(
    rng: np.random.Generator, size: int, length: int
) -> tuple[npt.NDArray[np.uint8], LabelStack, str]:
    """Slices of deformed ellipsoids."""
    radius = log_uniform(rng, 7, 45)
    depth = max(length * rng.uniform(0.2, 0.8), 4.0)
    full = size * size / (np.pi * radius**2)
    count = int(np.clip(full * rng.uniform(0.3, 2.5) * length / depth / 2, 3, 150))
    labels = np.zeros((length, size, size), np.int32)
    stretch, overlap = rng.uniform(1, 2), rng.choice([0.1, 0.4])
    number = 1
    for _ in range(count):
        centre = rng.uniform(0, size, 2)
        tilt = rng.normal(0, radius * 0.06, 2)
        middle, half = rng.uniform(0, length), depth / 2 * np.exp(rng.normal(0, 0.25))
        r = radius * np.exp(rng.normal(0, 0.2))
        ends = [random_radii(rng, r, rng.uniform(1, stretch), 0.1) for _ in range(2)]
        blobs = {}
        for z in range(length):
            height = (z - middle) / half
            if abs(height) < 1:
                share = 0.5 + 0.5 * height
                outline = share * ends[0] + (1 - share) * ends[1]
                place = centre + tilt * (z - middle)
                blobs[z] = Blob(
                    (float(place[0]), float(place[1])),
                    outline * np.sqrt(1 - height * height),
                )
        order = sorted(blobs, key=lambda z: abs(z - middle))
        if order and paint(labels[order[0]], blobs[order[0]], number, overlap):
            for z in order[1:]:
                paint(labels[z], blobs[z], number, 0.8)
            number += 1
    look = random_look(rng, str(rng.choice(BLOB_STYLES)), size, number)
    images = _render_slices(rng, labels, look, rng.random() < 0.6)
    return images, labels, "z"


def _packed(
    rng: np.random.Generator, size: int, length: int
) -> tuple[npt.NDArray[np.uint8], LabelStack, str]:
    """Slices of packed cells or winding neurites."""
    neurites = rng.random() < 0.6
    spacing = log_uniform(rng, 14, 32) if neurites else log_uniform(rng, 18, 60)
    step = spacing * (rng.uniform(0.05, 0.15) if neurites else rng.uniform(0.06, 0.25))
    wide, deep = size + 32, length + 4
    layers = max(deep * step / spacing, 1)
    count = max(int((wide / spacing) ** 2 * layers), 6)
    sites = rng.uniform(0, 1, (count, 3)) * (deep * step, wide, wide)
    owners = np.arange(1, count + 1)
    if neurites:
        heads = rng.choice(count, max(count // int(rng.integers(2, 6)), 3), False)
        squeeze = np.array([rng.uniform(0.3, 1), 1.0, log_uniform(rng, 0.6, 1.7)])
        moved = sites * squeeze + rng.normal(0, 0.12 * spacing, sites.shape)
        nearest = ((moved[:, None] - moved[heads][None]) ** 2).sum(-1).argmin(1)
        owners = nearest + 1
    seeds = np.zeros((deep, wide, wide), np.int32)
    place = (sites / (step, 1, 1)).astype(int)
    place = np.clip(place, 0, np.array(seeds.shape) - 1)
    seeds[place[:, 0], place[:, 1], place[:, 2]] = owners
    index = ndimage.distance_transform_edt(
        seeds == 0, sampling=(step, 1, 1), return_distances=False, return_indices=True
    )
    space = seeds[index[0], index[1], index[2]]
    del index
    knots = int(size / spacing) + 5
    bend = rng.uniform(0.1, 0.4) * spacing * 1.6
    ends = smooth_field(
        rng.normal(0, bend, (2, 2, knots, knots)).astype("f4"), (size, size)
    )
    base = np.arange(size, dtype=np.float32) + 16
    labels = np.zeros((length, size, size), np.int32)
    for z in range(length):
        angle = z * 0.12
        offset = np.cos(angle) * ends[0] + np.sin(angle) * ends[1]
        rows = np.clip(offset[0] + base[:, None], 0, wide - 1).astype(np.int32)
        columns = np.clip(offset[1] + base[None], 0, wide - 1).astype(np.int32)
        labels[z] = space[z + 2, rows, columns]
    style = "em" if neurites else str(rng.choice(PACKED_STYLES))
    look = random_look(rng, style, size, int(labels.max()))
    return _render_slices(rng, labels, look, False), labels, "z"


def _render_slices(
    rng: np.random.Generator, labels: LabelStack, look: Look, blur: bool
) -> npt.NDArray[np.uint8]:
    """Render slices with a texture that changes with depth; mix in the neighbours."""
    size = labels.shape[1]
    look = expose(look, labels[len(labels) // 2])
    grain = (log_uniform(rng, 4, 20), log_uniform(rng, 0.8, 2.5))
    other = np.stack([random_texture(rng, size, g) for g in grain])
    pace = rng.uniform(0.1, 0.5)
    frames = []
    for z, (frame, light) in enumerate(
        zip(labels, _fading(rng, len(labels)), strict=True)
    ):
        mixed = np.cos(pace * z) * look.textures + np.sin(pace * z) * other
        slice_look = replace(look, textures=mixed.astype("f4"), light=light)
        frames.append(render(frame, slice_look, rng))
    images = np.stack(frames)
    if not blur:
        return images
    sigma = rng.uniform(1, 3)
    sides = (sigma, sigma, 0)[: images.ndim - 1]
    soft = np.stack([ndimage.gaussian_filter(image, sides) for image in images])
    share = rng.uniform(0.1, 0.25)
    before, after = np.roll(soft, 1, 0), np.roll(soft, -1, 0)
    before[0], after[-1] = soft[0], soft[-1]
    mixed_images = (1 - 2 * share) * images + share * before + share * after
    return mixed_images.astype(np.uint8)


def _moving(
    rng: np.random.Generator, size: int, length: int
) -> tuple[npt.NDArray[np.uint8], LabelStack, str]:
    """Cells, nuclei or rods that move, deform, divide, come, go and hide."""
    bodies, next_number = population(rng, size)
    speed_change, division = rng.uniform(0.1, 0.8), rng.choice([0, 0.01, 0.04])
    hiding, stage = rng.choice([0, 0, 0.02]), rng.choice([0.0, 0.0, 1.5])
    labels = np.zeros((length, size, size), np.int32)
    ways: list[dict[int, npt.NDArray[np.float64]]] = []
    for t in range(length):
        shake = rng.normal(0, stage, 2)
        for body in bodies:
            body.hidden = max(body.hidden - 1, 0)
            if t and rng.random() < hiding:
                body.hidden = int(rng.integers(1, 3))
            if not body.hidden:
                place = body.centre + shake
                blob = Blob((float(place[0]), float(place[1])), body.outline())
                paint(labels[t], blob, body.number, 0.75)
        ways.append({b.number: b.moved + shake for b in bodies if b.moved is not None})
        bodies, next_number = advance(rng, bodies, next_number, speed_change, division)
    look = random_look(rng, str(rng.choice(MOVING_STYLES)), size, next_number)
    return _render_frames(rng, labels, expose(look, labels[0]), ways), labels, "t"


def _growing(
    rng: np.random.Generator, size: int, length: int
) -> tuple[npt.NDArray[np.uint8], LabelStack, str]:
    """Bacteria or yeasts that grow into a colony."""
    kind = str(rng.choice(["rods", "rods", "yeasts"]))
    colony, stage = Colony(rng, size, kind), rng.choice([0.0, 0.0, 1.5])
    labels = np.zeros((length, size, size), np.int32)
    ways: list[dict[int, npt.NDArray[np.float64]]] = []
    for t in range(length):
        shake = rng.normal(0, stage, 2)
        labels[t] = colony.draw(shake)
        ways.append({cell.number: cell.moved + shake for cell in colony.cells})
        colony.grow()
    style = str(rng.choice(GROWING_STYLES[kind]))
    look = expose(random_look(rng, style, size, colony.next_number), labels[-1])
    return _render_frames(rng, labels, look, ways), labels, "t"


def _render_frames(
    rng: np.random.Generator,
    labels: LabelStack,
    look: Look,
    ways: list[dict[int, npt.NDArray[np.float64]]],
) -> npt.NDArray[np.uint8]:
    """Render the frames of a time-lapse; textures move with the objects, light fades.

    ``ways`` has, for each frame, the way (y, x) of each object since it appeared.
    """
    frames = []
    for frame, way, light in zip(labels, ways, _fading(rng, len(labels)), strict=True):
        shift = np.zeros((2, len(look.brightness)), np.int32)
        for number, yx in way.items():
            shift[:, number] = np.round(yx)
        moved = _moved_textures(look.textures, frame, shift)
        frames.append(render(frame, replace(look, textures=moved, light=light), rng))
    return np.stack(frames)


def _fading(rng: np.random.Generator, length: int) -> list[float]:
    """Light by frame: bleaching over time, or scattering with depth; often none."""
    left = rng.uniform(0.25, 0.9) if rng.random() < 0.35 else 1.0
    return [float(left ** (t / max(length - 1, 1))) for t in range(length)]


def _moved_textures(
    textures: FloatArray, labels: npt.NDArray[np.int32], shift: npt.NDArray[np.int32]
) -> FloatArray:
    size = len(labels)
    steps = np.arange(size, dtype=np.int32)
    rows = (steps[:, None] - shift[0][labels]) % size
    columns = (steps[None] - shift[1][labels]) % size
    return textures[:, rows, columns]


def _tissue(
    rng: np.random.Generator, size: int, length: int
) -> tuple[npt.NDArray[np.uint8], LabelStack, str]:
    """Packed cells whose borders shift over time."""
    spacing, margin = log_uniform(rng, 18, 60), 24
    wide = size + 2 * margin
    count = max(int((wide / spacing) ** 2), 6)
    sites = rng.uniform(0, wide, (count, 2))
    for _ in range(2):
        sites = sites + rng.normal(0, spacing * 0.05, sites.shape)
    velocity = rng.normal(0, spacing * rng.uniform(0.005, 0.05), sites.shape)
    velocity += rng.normal(0, spacing * 0.03, 2)
    labels = np.zeros((length, size, size), np.int32)
    for t in range(length):
        place = np.clip(sites, 0, wide - 1).astype(int)
        seeds = np.zeros((wide, wide), np.int32)
        seeds[place[:, 0], place[:, 1]] = np.arange(1, count + 1)
        nearest = ndimage.distance_transform_edt(
            seeds == 0, return_distances=False, return_indices=True
        )
        whole = seeds[nearest[0], nearest[1]]
        labels[t] = whole[margin : margin + size, margin : margin + size]
        sites = sites + velocity
        velocity = 0.9 * velocity + rng.normal(0, spacing * 0.01, sites.shape)
    style = str(rng.choice(["membrane", "membrane", "fluorescence", "phase"]))
    look = random_look(rng, style, size, count)
    look = expose(look, labels[0])
    return np.stack([render(frame, look, rng) for frame in labels]), labels, "t"


Maker = Callable[
    [np.random.Generator, int, int], tuple[npt.NDArray[np.uint8], LabelStack, str]
]
KINDS: dict[str, Maker] = {
    "bodies": _bodies,
    "packed": _packed,
    "moving": _moving,
    "tissue": _tissue,
    "growing": _growing,
}
KIND_CYCLE = (
    "moving",
    "bodies",
    "growing",
    "packed",
    "moving",
    "bodies",
    "packed",
    "tissue",
)


def generate_stack_pool(
    count: int,
    size: int = 256,
    length: int = 12,
    seed: int = 0,
    processes: int = 1,
    cache: str | Path | None = None,
) -> list[LabelledStack]:
    """Make many stacks, or read them from an earlier call.

    Parameters
    ----------
    count : int
    size, length : int
        Side of the frames in pixels and number of frames.
    seed : int
        Stack ``i`` depends on the arguments before it and ``i`` alone.
    processes : int
        Low-priority processes to use; 1 works in this one.
    cache : path, optional
        Folder for an ``.npz`` file, written when it does not exist yet.

    Returns
    -------
    list of LabelledStack
        Of the data sets ``"synthetic_z"`` and ``"synthetic_t"``.

    Raises
    ------
    ImageError
        The file in the cache is broken.
    """
    name = f"stacks_v{VERSION}_{size}_{length}_{seed}_{count}.npz"
    path = Path(cache) / name if cache else None
    if path is not None and path.is_file():
        arrays = read_arrays(path)
        made = [
            (arrays[f"i{k}"], arrays[f"l{k}"], str(arrays["axes"][k]))
            for k in range(count)
        ]
    else:
        jobs = [(seed, size, length, index) for index in range(count)]
        with low_priority_map(processes) as run:
            made = run(_generate, jobs)
        if path is not None:
            arrays = {f"i{k}": stack[0] for k, stack in enumerate(made)}
            arrays |= {f"l{k}": stack[1] for k, stack in enumerate(made)}
            write_arrays(path, arrays | {"axes": np.array([s[2] for s in made])})
    return [
        LabelledStack(
            f"{SET_NAMES[axis]}/{index}", SET_NAMES[axis], images, labels, axis
        )
        for index, (images, labels, axis) in enumerate(made)
    ]


def _generate(
    job: tuple[int, int, int, int],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int16], str]:
    seed, size, length, index = job
    rng = np.random.default_rng([seed, size, length, index])
    kind = KIND_CYCLE[index % len(KIND_CYCLE)]
    images, labels, axis = generate_stack(rng, size, length, kind)
    return images, labels.astype(np.int16), axis
