"""Everything mode against recorded calls of the original."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden import DEVICE, TOLERANCE, Golden, cases, inputs

from sam2_core.compat import SAM2AutomaticMaskGenerator, build_sam2


def rows(masks: list[dict], key: str) -> np.ndarray:
    return np.array([mask[key] for mask in masks], np.float64)


def replay(golden: Golden, folder) -> None:
    torch.save({"model": golden.weights}, folder / "weights.pt")
    config = f"configs/{golden.log['config']}.yaml"
    model = build_sam2(config, folder / "weights.pt", device=DEVICE)
    (folder / "weights.pt").unlink()
    generator = SAM2AutomaticMaskGenerator(model, **golden.log["kwargs"])
    masks = generator.generate(inputs()[golden.log["image"]])

    want = golden.arrays
    assert len(masks) == len(want["area"])
    # The recorded order is that of predicted IoUs which may be equal to the last digit.
    order = match(masks, want)
    masks = [masks[i] for i in order]
    assert np.abs(order - np.arange(len(order))).max() <= 2
    np.testing.assert_allclose(
        rows(masks, "predicted_iou"), want["predicted_iou"], atol=TOLERANCE["iou"]
    )
    np.testing.assert_allclose(
        rows(masks, "stability_score"), want["stability_score"], atol=1e-3
    )
    np.testing.assert_array_equal(rows(masks, "crop_box"), want["crop_box"])
    np.testing.assert_allclose(
        rows(masks, "point_coords"), want["point_coords"], atol=1e-4
    )
    hw = masks[0]["segmentation"].shape
    flips = TOLERANCE["flipped"] * hw[0] * hw[1]
    np.testing.assert_allclose(rows(masks, "area"), want["area"], atol=2)
    np.testing.assert_allclose(rows(masks, "bbox"), want["bbox"], atol=1)
    recorded = np.unpackbits(want["mask_bits"])
    recorded = recorded[: recorded.size // (hw[0] * hw[1]) * hw[0] * hw[1]]
    for mask, bits in zip(masks, recorded.reshape(-1, *hw), strict=False):
        assert (mask["segmentation"] != bits.astype(bool)).sum() <= flips


def match(masks: list[dict], want: dict[str, np.ndarray]) -> np.ndarray:
    """For each recorded mask, the place of ours with the same point and IoU."""
    points, ious = rows(masks, "point_coords"), rows(masks, "predicted_iou")
    areas = rows(masks, "area")
    found = []
    for point, iou, area in zip(
        want["point_coords"], want["predicted_iou"], want["area"], strict=True
    ):
        far = np.abs(points - point).max((1, 2)) + 1e3 * np.abs(ious - iou)
        found.append(int(np.argmin(far + 1e-3 * np.abs(areas - area))))
    assert len(set(found)) == len(found)
    return np.array(found)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=pytest.mark.slow
            if name == "sam2.1_hiera_t/amg_grid6_nms"
            else pytest.mark.large,
        )
        for name in cases("amg")
    ],
)
def test_automatic_case(name, tmp_path):
    replay(Golden.load(name), tmp_path)
