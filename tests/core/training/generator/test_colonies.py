from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import regionprops

from sam2_core.training.generator.layouts import LAYOUTS
from sam2_core.training.generator.shapes import (
    Blob,
    blob_mask,
    boundary_distance,
    random_radii,
    stroke_mask,
)
from sam2_core.training.generator.styles import STYLES, Look, Scene
from sam2_core.training.generator.synthetic import generate_image


def _regions(layout: str, size: int = 192, seeds: int = 6) -> list[list[object]]:
    found = []
    for seed in range(seeds):
        labels = LAYOUTS[layout](np.random.default_rng(seed), size)
        regions = regionprops(labels)
        inner = [
            r for r in regions if min(r.bbox) > 0 and max(r.bbox) < size and r.area > 30
        ]
        if inner:
            found.append(inner)
    return found


def _median(layout: str, value: str) -> float:
    every = [np.median([r[value] for r in regions]) for regions in _regions(layout)]
    return float(np.median(every))


def test_arms_make_microglia_less_solid_than_nuclei() -> None:
    assert _median("ramified", "solidity") < 0.75
    assert _median("nuclei", "solidity") > 0.85


def test_yeasts_and_vesicles_are_round() -> None:
    assert _median("budding", "eccentricity") < 0.75
    assert _median("vesicles", "solidity") > 0.9


def test_vesicles_differ_in_size_far_more_than_nuclei() -> None:
    def ratio(layout: str) -> float:
        areas = [[r.area for r in regions] for regions in _regions(layout)]
        return float(
            np.median([np.percentile(a, 95) / np.percentile(a, 5) for a in areas])
        )

    assert ratio("vesicles") > 3


def test_yeasts_touch_their_neighbours() -> None:
    touching = []
    for seed in range(6):
        labels = LAYOUTS["budding"](np.random.default_rng(seed), 192)
        for number in np.unique(labels[labels > 0]):
            around = ndimage.binary_dilation(labels == number, iterations=4)
            touching.append(bool((np.unique(labels[around]) > 0).sum() > 1))
    assert np.mean(touching) > 0.6


def _neighbour_angles(layout: str) -> float:
    """Median angle between the long axes of nearest neighbours, in degrees."""
    angles = []
    for regions in _regions(layout):
        long = [r for r in regions if r.eccentricity > 0.8]
        for r in long:
            others = [o for o in long if o.label != r.label]
            if others:
                near = min(
                    others, key=lambda o: np.hypot(*np.subtract(o.centroid, r.centroid))
                )
                turn = abs(r.orientation - near.orientation) % np.pi
                angles.append(np.degrees(min(turn, np.pi - turn)))
    return float(np.median(angles))


def test_colonies_and_tissue_are_lined_up() -> None:
    # 45 degrees would be chance.
    assert _neighbour_angles("colony") < 15
    assert _neighbour_angles("crowd") < 32


def test_cells_of_a_colony_are_rods_with_gaps() -> None:
    assert _median("colony", "eccentricity") > 0.85
    for seed in range(6):
        labels = LAYOUTS["colony"](np.random.default_rng(seed), 192)
        right, below = labels[:, 1:] - labels[:, :-1], labels[1:] - labels[:-1]
        both = (labels[:, 1:] > 0) & (labels[:, :-1] > 0)
        assert (right[both] == 0).mean() > 0.95
        both = (labels[1:] > 0) & (labels[:-1] > 0)
        assert (below[both] == 0).mean() > 0.95


def test_strands_are_long() -> None:
    lengths = [
        r.area / (2 * np.max(ndimage.distance_transform_edt(np.pad(r.image, 1)))) ** 2
        for regions in _regions("strands")
        for r in regions
    ]
    assert np.median(lengths) > 6


def test_tissue_is_dense() -> None:
    cover = [
        (LAYOUTS["crowd"](np.random.default_rng(seed), 192) > 0).mean()
        for seed in range(8)
    ]
    assert np.median(cover) > 0.35


@pytest.mark.parametrize("heading", [0.0, 0.6, 2.2])
def test_heading_of_the_long_axis(heading: float) -> None:
    radii = random_radii(np.random.default_rng(0), 12, 2.5, 0.0, heading=heading)
    _, mask = blob_mask(Blob((32.0, 32.0), radii), 64)
    (region,) = regionprops(mask.astype(np.int32))
    # skimage measures from rows towards columns as well.
    turn = abs(region.orientation - heading) % np.pi
    assert min(turn, np.pi - turn) < 0.05


def test_stroke_is_as_wide_as_its_discs_and_may_leave_the_image() -> None:
    path = np.stack([np.full(40, 10.0), np.arange(40.0)], 1)
    window, mask = stroke_mask(path, np.full(40, 3.0), 32)
    whole = np.zeros((32, 32), bool)
    whole[window] = mask
    assert whole[:, 16].sum() == 6
    assert np.flatnonzero(whole[:, 16]).tolist() == [7, 8, 9, 10, 11, 12]


def _both(
    layout: str, style: str, seeds: int = 8
) -> list[tuple[np.ndarray, np.ndarray]]:
    pairs = []
    for seed in range(seeds):
        image, labels = generate_image(np.random.default_rng(seed), 160, layout, style)
        pairs.append((image.astype(float), labels))
    return pairs


def _apart(image: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Difference of two regions, positive whether or not contrast is inverted."""
    return float(abs(image[first].mean() - image[second].mean()))


def test_gaps_of_a_colony_differ_from_the_far_background() -> None:
    brighter = []
    for image, labels in _both("colony", "zernike"):
        inside = labels > 0
        gaps = ndimage.binary_closing(inside, iterations=3) & ~inside
        far = ~ndimage.binary_dilation(inside, iterations=15)
        if gaps.sum() > 20 and far.sum() > 200:
            sign = np.sign(image[far].mean() - image[inside].mean())
            brighter.append(sign * (image[gaps].mean() - image[far].mean()))
    assert len(brighter) >= 3
    assert np.median(brighter) > 3


def test_thin_parts_of_microglia_are_dimmer() -> None:
    dimmer = []
    for image, labels in _both("ramified", "projection"):
        depth = ndimage.distance_transform_edt(labels > 0)
        thick, thin = depth > 5, (depth > 1) & (depth < 3)
        if thick.sum() > 50:
            background = image[labels == 0].mean()
            body = abs(image[thick].mean() - background)
            dimmer.append(abs(image[thin].mean() - background) / body)
    assert np.median(dimmer) < 0.9


def test_haze_lies_between_nuclei_and_not_far_from_them() -> None:
    ratios = []
    for image, labels in _both("crowd", "haze", 12):
        inside = labels > 0
        away = ndimage.distance_transform_edt(~inside)
        near, far = (away > 2) & (away < 6), away > 25
        if far.sum() > 200:
            between = _apart(image, near, far)
            ratios.append(between / (_apart(image, inside, far) + 1))
    assert len(ratios) >= 2
    assert np.median(ratios) > 0.1


def test_rims_follow_the_outline() -> None:
    stronger = []
    for image, labels in _both("budding", "rims"):
        smooth = ndimage.gaussian_filter(image, 0.8)
        away = ndimage.distance_transform_edt(labels == 0)
        away += ndimage.distance_transform_edt(labels > 0)
        edge = smooth[away < 4].std()
        stronger.append(edge / smooth[away > 12].std())
    assert np.median(stronger) > 1.5


def test_microcolonies_are_few_long_cells() -> None:
    counts = [len(regions) for regions in _regions("microcolony", seeds=12)]
    assert np.median(counts) < np.median([len(r) for r in _regions("colony")])
    assert _median("microcolony", "eccentricity") > 0.85


@pytest.mark.parametrize("radius", [5, 15])
def test_glow_is_as_wide_as_objects_demand(radius: int) -> None:
    rows, columns = np.mgrid[:128, :128]
    away = np.hypot(rows - 64, columns - 64)
    labels = (away < radius).astype(np.int32)
    ones = np.ones(2, np.float32)
    textures = np.zeros((2, 128, 128), np.float32)
    look = Look("glow", np.full(24, 0.5), ones, textures, 0)
    scene = Scene(labels, labels > 0, boundary_distance(labels), textures, ones)
    picture = STYLES["glow"](scene, look)
    body = picture[away < 0.6 * radius].mean()
    near = picture[(away > 1.3 * radius) & (away < 1.8 * radius)].mean()
    far = picture[away > 58].mean()
    assert body < far - 0.1
    assert near > far + 0.03
