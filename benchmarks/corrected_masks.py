"""Clicks that correct a mask from elsewhere: all of the answer, or what was clicked on.

Outlines of labelled objects are spoilt in several ways, and clicked on where they are
most wrong, up to three times. "Whole" takes the model's answer as it is, "about" what
``napari_sam2.asking._asking.changed_about`` makes of it. Prints mean IoUs before the
clicks and after each.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from napari_sam2._masks import PackedMask
from napari_sam2._prompts import MaskPrompt, ObjectPrompts
from napari_sam2.asking._asking import changed_about, mask_logits, point_arrays
from sam2_core.image import ImagePredictor
from sam2_core.models import load_model
from sam2_core.training.examples.clicks import next_click
from sam2_core.training.labelled_files import choose_objects, find_sets
from sam2_core.training.measuring.scores import mask_iou

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

CLICKS = 3
LEAST = 10  # pixels of a mask to start from


def spoilt(
    mask: NDArray[np.bool_], rng: np.random.Generator
) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """An outline in the ways in which labels of other tools are wrong."""
    rows, columns = np.nonzero(mask)
    radius = np.sqrt(mask.sum() / np.pi)
    inside, outside = distance_transform_edt(mask), distance_transform_edt(~mask)
    y, x = np.indices(mask.shape)
    edge = np.argwhere(mask & (inside <= 1.5))
    at = edge[rng.integers(len(edge))]
    spot = np.hypot(y - at[0], x - at[1]) < 0.6 * radius
    angle = rng.uniform(0, 2 * np.pi)
    side = (y - rows.mean()) * np.sin(angle) + (x - columns.mean()) * np.cos(angle)
    step = max(1, round(0.4 * radius))
    yield "half of it", mask & (side > 0)
    yield "a bite", mask & ~spot
    yield "a blob", mask | spot
    yield "too small", inside > 0.3 * radius
    yield "too large", outside < 0.3 * radius
    yield "beside it", np.roll(mask, (step, step), (0, 1))


def corrected(
    predictor: ImagePredictor,
    start: NDArray[np.bool_],
    target: NDArray[np.bool_],
    about: bool,
) -> list[float]:
    """IoU of a mask before the clicks and after each."""
    prompts = ObjectPrompts(start=MaskPrompt(PackedMask.of(start)))
    mask, ious = start, [mask_iou(start, target)]
    for _ in range(CLICKS):
        click = next_click(target, mask)
        if click is not None:
            prompts = prompts.with_point((click.x, click.y), bool(click.label))
            points, labels = point_arrays(prompts, ())
            answer = predictor.predict(
                point_coords=points,
                point_labels=labels,
                mask_input=mask_logits(start, predictor.model),
                multimask_output=False,
            )
            mask = np.asarray(answer.masks[0], bool)
            mask = changed_about(mask, prompts) if about else mask
        ious.append(mask_iou(mask, target))
    return ious


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="as of training.evaluate")
    parser.add_argument("--max-objects", type=int, default=10, help="of each set")
    parser.add_argument("--model", default="sam2_nano")
    options = parser.parse_args()
    torch.set_num_threads(1)
    predictor = ImagePredictor(load_model(options.model, device="cpu"))
    found: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for files in find_sets(options.folder).values():
        if files[0].kind != "2d":
            continue
        for file, ids in choose_objects(files, options.max_objects, 0).items():
            image, labels = file.read()
            predictor.set_image(image)
            for i in ids:
                target = labels == i
                for kind, start in spoilt(target, np.random.default_rng(i)):
                    if np.count_nonzero(start) < LEAST:
                        continue
                    for way in ("whole", "about"):
                        ious = corrected(predictor, start, target, way == "about")
                        found[kind, way].append(ious)
    print(f"{'outline':12}{'answer':8}{'objects':>8}  before, after 1, 2, 3 clicks")
    for (kind, way), rows in found.items():
        means = "  ".join(f"{value:.3f}" for value in np.mean(rows, 0))
        print(f"{kind:12}{way:8}{len(rows):>8}  {means}")


if __name__ == "__main__":
    main()
