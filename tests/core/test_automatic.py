from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from micro import MICRO, micro_model, moving_disc

from sam2_core import AutomaticMaskGenerator, ImagePredictor, transforms
from sam2_core.automatic import (
    GUIDED_THRESHOLDS,
    OFFICIAL_THRESHOLDS,
    OUTPUT_MODES,
    fitting_thresholds,
)
from sam2_core.compat import SAM2AutomaticMaskGenerator
from sam2_core.errors import Cancelled, ImageError, PromptError
from sam2_core.everything import grid_search
from sam2_core.everything.candidates import select_candidates
from sam2_core.everything.rle import counts_to_string, mask_to_counts
from sam2_core.nn.mask_decoder import DecodedMasks

# Everything passes, nothing is merged.
OPEN = {
    "pred_iou_thresh": 0.0,
    "stability_score_thresh": 0.0,
    "box_nms_thresh": 1.0,
    "crop_nms_thresh": 1.0,
}
HW = (90, 130)


@pytest.fixture(scope="module")
def model():
    return micro_model()


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return moving_disc(1, HW)[0]


def expected_masks(model, image, per_side: int, multimask: bool = True) -> list[dict]:
    """One prompt after the other, drawn in full."""
    predictor = ImagePredictor(model)
    predictor.set_image(image)
    height, width = image.shape[:2]
    found = []
    for row in range(per_side):
        for column in range(per_side):
            xy = ((column + 0.5) * width / per_side, (row + 0.5) * height / per_side)
            got = predictor.predict([xy], [1], multimask_output=multimask)
            drawn = transforms.logits_to_image(
                torch.from_numpy(got.logits)[:, None], (height, width)
            )[:, 0].numpy()
            for logits, mask, iou in zip(drawn, got.masks, got.scores, strict=True):
                if mask.any():
                    stability = (logits > 1).sum() / (logits > -1).sum()
                    found.append(
                        {"xy": xy, "mask": mask, "iou": iou, "stability": stability}
                    )
    return found


@pytest.fixture
def discs(monkeypatch) -> list[tuple[int, int]]:
    """A model that draws a disc of radius 5 (of 32) at each point; what it looks at."""
    seen = []

    def encode(model, pixels):
        seen.append(pixels.shape[:2])

    def decode(model, features, point_xy, labels, mask_logits, multimask_output):
        place = torch.arange(32) + 0.5
        x, y = (point_xy[:, 0].T / 4)[:, :, None, None]
        square = (place - x) ** 2 + (place[:, None] - y) ** 2
        n = len(point_xy)
        return DecodedMasks(
            (5 - square.sqrt())[:, None] * 3,
            torch.full((n, 1), 0.9),
            torch.zeros(n, 1, 32),
            torch.zeros(n, 1),
        )

    monkeypatch.setattr(grid_search, "encode", encode)
    monkeypatch.setattr(grid_search, "decode", decode)
    return seen


def key(point, iou) -> tuple:
    return (*np.round(point, 2).tolist(), round(float(iou), 4))


class TestGenerate:
    @pytest.mark.parametrize("guided", [False, True])
    def test_is_what_single_prompts_give(self, guided, image) -> None:
        model = micro_model(guided=guided)
        masks = AutomaticMaskGenerator(model, points_per_side=3, **OPEN).generate(image)
        wanted = {key(m["xy"], m["iou"]): m for m in expected_masks(model, image, 3)}
        assert len(masks) == len(wanted)
        assert len(masks) > 15
        for mask in masks:
            want = wanted[key(mask["point_coords"][0], mask["predicted_iou"])]
            assert (mask["segmentation"] != want["mask"]).mean() < 1e-3
            assert mask["stability_score"] == pytest.approx(want["stability"], abs=5e-3)
            rows, columns = np.nonzero(mask["segmentation"])
            assert mask["area"] == len(rows)
            assert mask["bbox"] == [
                columns.min(),
                rows.min(),
                columns.max() - columns.min(),
                rows.max() - rows.min(),
            ]
            assert mask["crop_box"] == [0, 0, HW[1], HW[0]]
        scores = [mask["predicted_iou"] for mask in masks]
        assert scores == sorted(scores, reverse=True)

    def test_thresholds(self, model, image) -> None:
        every = AutomaticMaskGenerator(model, points_per_side=4, **OPEN).generate(image)
        iou = float(np.median([m["predicted_iou"] for m in every]))
        stability = float(np.median([m["stability_score"] for m in every]))
        limits = {
            **OPEN,
            "pred_iou_thresh": iou,
            "stability_score_thresh": stability,
        }
        some = AutomaticMaskGenerator(model, points_per_side=4, **limits)
        wanted = [
            m["area"]
            for m in every
            if m["predicted_iou"] > iou and m["stability_score"] >= stability
        ]
        assert [m["area"] for m in some.generate(image)] == wanted
        assert 0 < len(wanted) < len(every)

    def test_copies_go(self, model, image) -> None:
        options = {**OPEN, "box_nms_thresh": 0.5}
        masks = AutomaticMaskGenerator(model, points_per_side=4, **options).generate(
            image
        )
        assert 0 < len(masks) < 48
        boxes = [m["bbox"] for m in masks]
        for i, (x, y, w, h) in enumerate(boxes):
            for x2, y2, w2, h2 in boxes[:i]:
                across = max(0, min(x + w, x2 + w2) - max(x, x2))
                down = max(0, min(y + h, y2 + h2) - max(y, y2))
                shared = across * down
                assert shared <= 0.5 * (w * h + w2 * h2 - shared)

    def test_size_of_batches_does_not_matter(self, model, image) -> None:
        results = [
            AutomaticMaskGenerator(
                model, points_per_side=3, points_per_batch=n, **OPEN
            ).generate(image)
            for n in (2, 64)
        ]
        areas = [[m["area"] for m in masks] for masks in results]
        np.testing.assert_allclose(areas[0], areas[1], atol=3)

    def test_one_mask_per_point(self, model, image) -> None:
        generator = AutomaticMaskGenerator(
            model, points_per_side=3, multimask_output=False, **OPEN
        )
        masks = generator.generate(image)
        wanted = expected_masks(model, image, 3, multimask=False)
        assert sorted(m["area"] for m in masks) == pytest.approx(
            sorted(int(m["mask"].sum()) for m in wanted), abs=3
        )

    def test_own_points(self, model, image) -> None:
        generator = AutomaticMaskGenerator(
            model, points_per_side=None, point_grids=[[(0.5, 0.25)]], **OPEN
        )
        masks = generator.generate(image)
        assert masks
        assert all(m["point_coords"] == [[65, 22.5]] for m in masks)

    def test_holes_and_specks_vanish(self, model, image) -> None:
        from scipy import ndimage

        options = {**OPEN, "points_per_side": 3}
        generator = AutomaticMaskGenerator(model, **options)
        cleaned = AutomaticMaskGenerator(model, min_mask_region_area=30, **options)

        def pieces(masks: list[dict]) -> int:
            eight = np.ones((3, 3))
            return sum(
                ndimage.label(part, eight)[1]
                for m in masks
                for part in (m["segmentation"], ~m["segmentation"])
            )

        assert pieces(cleaned.generate(image)) < pieces(generator.generate(image))

    def test_asking_twice(self, model, image) -> None:
        generator = AutomaticMaskGenerator(
            model, points_per_side=2, use_m2m=True, **OPEN
        )
        masks = generator.generate(image)
        predictor = ImagePredictor(model)
        predictor.set_image(image)
        areas = []
        for x, y in ((32.5, 22.5), (97.5, 22.5), (32.5, 67.5), (97.5, 67.5)):
            first = predictor.predict([(x, y)], [1])
            for logits in first.logits:
                second = predictor.predict(
                    [(x, y)], [1], mask_input=logits[None], multimask_output=False
                )
                areas.append(int(second.masks.sum()))
        wanted = sorted(area for area in areas if area)
        assert sorted(m["area"] for m in masks) == pytest.approx(wanted, abs=3)

    def test_crops(self, model, image) -> None:
        generator = AutomaticMaskGenerator(
            model, points_per_side=2, crop_n_layers=1, **OPEN
        )
        masks = generator.generate(image)
        crops = {tuple(m["crop_box"]) for m in masks}
        # Overlap int(512 / 1500 * 90) = 30.
        assert crops <= {
            (0, 0, 130, 90),
            (0, 0, 80, 60),
            (50, 0, 80, 60),
            (0, 30, 80, 60),
            (50, 30, 80, 60),
        }
        assert (0, 0, 130, 90) in crops
        for mask in masks:
            x, y, width, height = mask["crop_box"]
            inside = mask["segmentation"][y : y + height, x : x + width]
            assert inside.sum() == mask["area"] == mask["segmentation"].sum()
            px, py = mask["point_coords"][0]
            assert x < px < x + width
            assert y < py < y + height

    def test_output_modes(self, model, image) -> None:
        plain, counts, text = (
            AutomaticMaskGenerator(
                model, points_per_side=2, output_mode=mode, **OPEN
            ).generate(image)
            for mode in OUTPUT_MODES
        )
        assert plain
        for mask, run_lengths, compressed in zip(plain, counts, text, strict=True):
            wanted = mask_to_counts(mask["segmentation"])
            assert run_lengths["segmentation"] == {"size": [*HW], "counts": wanted}
            assert compressed["segmentation"] == {
                "size": [*HW],
                "counts": counts_to_string(wanted),
            }

    def test_intensities_of_any_type(self, model, image) -> None:
        grey = image[..., 0].astype(np.uint16) * 20 + 100
        generator = AutomaticMaskGenerator(model, points_per_side=2, **OPEN)
        masks = generator.generate(grey, value_range=(100, 100 + 20 * 255))
        wanted = generator.generate(np.repeat(image[..., :1], 3, axis=2))
        assert [m["area"] for m in masks] == [m["area"] for m in wanted]


class TestCandidates:
    def test_choosing_gives_what_generate_gives(self, model, image) -> None:
        generator = AutomaticMaskGenerator(
            model,
            points_per_side=4,
            pred_iou_thresh=0.45,
            stability_score_thresh=0.5,
            box_nms_thresh=0.6,
        )
        found = generator.candidates(image)
        chosen = select_candidates(found, 0.45, 0.5, nms_thresh=0.6)
        masks = generator.generate(image)
        assert [c.area for c in chosen] == [m["area"] for m in masks]
        assert 0 < len(chosen) < len(found)

    def test_a_region_is_searched_alone(self, model, image, discs) -> None:
        generator = AutomaticMaskGenerator(model, points_per_side=4, **OPEN)
        x0, y0, x1, y1 = region = (20, 0, 100, 50)
        found = generator.candidates(image, region=region)
        # Points are 20 and 12.5 pixels apart, discs 12.5 and 7.8 in radius: those next
        # to the left, right and lower border are cut; the upper one is the image's.
        assert sorted(c.point_xy for c in found) == [
            (x, y) for x in (50, 70) for y in (6.25, 18.75, 31.25)
        ]
        for c in found:
            assert c.crop_box == region
            x, y = c.point_xy
            extent = (x - 12.5, max(0, y - 7.8), x + 12.5, y + 7.8)
            assert c.box == pytest.approx(extent, abs=2)
        assert discs == [(y1 - y0, x1 - x0)]

    def test_objects_cut_by_crops_come_from_the_whole(
        self, model, image, discs
    ) -> None:
        generator = AutomaticMaskGenerator(
            model, points_per_side=4, crop_n_layers=1, **OPEN
        )
        found = generator.candidates(image)
        for c in found:
            x0, y0, x1, y1 = c.crop_box
            left, top, right, bottom = c.box
            assert left - x0 > 20 or x0 == 0
            assert top - y0 > 20 or y0 == 0
            assert x1 - right > 20 - 1 or x1 == HW[1]
            assert y1 - bottom > 20 - 1 or y1 == HW[0]
        assert {c.crop_box == (0, 0, HW[1], HW[0]) for c in found} == {True, False}

    def test_half_a_pixel_belongs_to_the_region(self, model, image) -> None:
        generator = AutomaticMaskGenerator(model, points_per_side=2, **OPEN)
        wide = generator.candidates(image, region=(-3, 0.5, 500, 1e9))
        assert {c.crop_box for c in wide} <= {(0, 0, HW[1], HW[0])}

    @pytest.mark.parametrize(
        "region",
        [
            (5, 5, 5, 9),
            (200, 0, 300, 50),
            (9, 9, 3, 3),
            (0, 0, 5),
            "all",
            (0, 0, 9, np.nan),
        ],
    )
    def test_bad_regions(self, model, image, region) -> None:
        generator = AutomaticMaskGenerator(model, points_per_side=2)
        with pytest.raises(
            PromptError, match=r"holds no pixel .* 0 to 130 and y 0 to 90"
        ):
            generator.candidates(image, region=region)


class TestProgress:
    def test_points_are_counted(self, model, image) -> None:
        generator = AutomaticMaskGenerator(
            model, points_per_side=4, points_per_batch=6, crop_n_layers=1, **OPEN
        )
        seen: list[tuple[int, int]] = []
        generator.candidates(image, progress=lambda *done: seen.append(done))
        assert seen[0] == (0, 80)
        assert seen[-1] == (80, 80)
        steps = np.diff([done for done, _ in seen])
        assert steps.tolist() == [6, 6, 4] * 5

    @pytest.mark.parametrize("method", ["generate", "candidates"])
    def test_cancel_between_batches(self, model, image, method) -> None:
        generator = AutomaticMaskGenerator(model, points_per_side=4, points_per_batch=4)
        seen: list[int] = []
        with pytest.raises(Cancelled):
            getattr(generator, method)(
                image,
                progress=lambda done, total: seen.append(done),
                cancel=lambda: len(seen) > 2,
            )
        assert seen == [0, 4, 8]


def test_thresholds_suit_the_model(model) -> None:
    generator = AutomaticMaskGenerator(model)
    assert generator.pred_iou_thresh == 0.8
    assert generator.stability_score_thresh == 0.95
    guided = AutomaticMaskGenerator(micro_model(guided=True))
    assert guided.pred_iou_thresh < 0.8
    assert guided.stability_score_thresh < 0.95
    own = AutomaticMaskGenerator(micro_model(guided=True), 4, 8, 0.0, 0.99)
    assert (own.pred_iou_thresh, own.stability_score_thresh) == (0.0, 0.99)


class TestMistakes:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"points_per_side": None}, "either points_per_side or point_grids"),
            ({"point_grids": [[(0.5, 0.5)]]}, "either points_per_side or point_grids"),
            ({"points_per_side": 0}, "points_per_side must be a whole number from 1"),
            ({"points_per_side": 2.5}, "points_per_side must be"),
            ({"points_per_batch": 0}, "points_per_batch must be"),
            ({"crop_n_layers": -1}, "crop_n_layers must be a whole number from 0"),
            ({"crop_n_points_downscale_factor": 0}, "downscale_factor must be"),
            ({"crop_overlap_ratio": 1}, "crop_overlap_ratio must be"),
            ({"crop_overlap_ratio": "a"}, "crop_overlap_ratio must be"),
            (
                {"pred_iou_thresh": "a"},
                "pred_iou_thresh must be a finite number from -inf to 1, not",
            ),
            (
                {"pred_iou_thresh": 5},
                "pred_iou_thresh must be a finite number from -inf to 1, not",
            ),
            ({"pred_iou_thresh": np.nan}, "pred_iou_thresh must be"),
            ({"stability_score_thresh": 1.1}, "stability_score_thresh must be"),
            ({"stability_score_offset": np.inf}, "stability_score_offset must be"),
            ({"mask_threshold": None}, "mask_threshold must be"),
            (
                {"box_nms_thresh": 9},
                "box_nms_thresh must be a finite number from 0 to 1, not 9",
            ),
            ({"crop_nms_thresh": "0.7"}, "crop_nms_thresh must be"),
            ({"min_mask_region_area": np.nan}, "min_mask_region_area must be"),
            ({"output_mode": "png"}, "use binary_mask, uncompressed_rle, coco_rle"),
        ],
    )
    def test_parameters(self, model, options, words) -> None:
        with pytest.raises(PromptError, match=words):
            AutomaticMaskGenerator(model, **options)

    def test_no_image(self, model) -> None:
        generator = AutomaticMaskGenerator(model, points_per_side=2)
        with pytest.raises(ImageError, match="must have the shape"):
            generator.generate(np.zeros((2, 3, 4, 5)))


class TestCompat:
    def test_float_images_are_taken_as_they_are(self, model, image) -> None:
        generator = SAM2AutomaticMaskGenerator(
            model, points_per_side=2, apply_postprocessing=True, **OPEN
        )
        masks = generator.generate(image)
        assert [m["area"] for m in generator.generate(image / 255)] == pytest.approx(
            [m["area"] for m in masks], abs=3
        )
        for box in (masks[0]["bbox"], masks[0]["crop_box"]):
            assert [type(side) for side in box] == [float] * 4
        assert masks[0]["segmentation"].dtype == bool

    @pytest.mark.parametrize(
        ("image", "words"),
        [
            (np.zeros((9, 9), np.uint8), "must be .height, width, 3. RGB"),
            (np.zeros((9, 9, 3), np.uint16), "uint16 but must be uint8"),
        ],
    )
    def test_other_images(self, model, image, words) -> None:
        generator = SAM2AutomaticMaskGenerator(model, points_per_side=2)
        with pytest.raises(ImageError, match=words):
            generator.generate(image)


def test_defaults_of_official_scripts_stand_for_what_suits_the_model() -> None:
    guided, theirs = replace(MICRO, guided=True), OFFICIAL_THRESHOLDS
    assert fitting_thresholds(MICRO, theirs, theirs) == theirs
    assert fitting_thresholds(guided, theirs, theirs) == GUIDED_THRESHOLDS
    assert fitting_thresholds(guided, (0.8, 0.9), theirs) == (0.8, 0.9)
