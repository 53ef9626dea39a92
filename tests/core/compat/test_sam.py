"""`SAM` and `SAM2VideoPredictor` with the calls of ultralytics."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
import torch
from micro import moving_disc
from PIL import Image

from sam2_core.automatic import AutomaticMaskGenerator
from sam2_core.compat.sam_prompts import SamPrompts
from sam2_core.errors import (
    ImageError,
    InferenceError,
    PromptError,
    Sam2Error,
)
from sam2_core.image import ImagePredictor
from sam2_core.nn.sam2 import Sam2

HW = (40, 56)
FRAMES = moving_disc(3)
BGR = np.ascontiguousarray(FRAMES[0][..., ::-1])
ALL = {"conf": -1.0}  # scores of random weights mean nothing


@pytest.fixture
def predictor(network):
    predictor = ImagePredictor(network)
    predictor.set_image(FRAMES[0])
    return predictor


# ------------------------------------------------------------------ prompts


@pytest.mark.parametrize(
    ("prompt", "ours"),
    [
        ({"points": [12, 20], "labels": [1]}, {"point_coords": [[[12, 20]]]}),
        ({"points": [12, 20]}, {"point_coords": [[[12, 20]]]}),
        (
            {"points": [[12, 20], [40, 8]], "labels": [1, 1]},
            {"point_coords": [[[12, 20]], [[40, 8]]]},
        ),
        (
            {"points": [[[12, 20], [40, 8]]], "labels": [[1, 0]]},
            {"point_coords": [[[12, 20], [40, 8]]], "point_labels": [[1, 0]]},
        ),
        ({"bboxes": [4, 8, 30, 32]}, {"box": [[4, 8, 30, 32]]}),
        (
            {"bboxes": torch.tensor([[4.0, 8, 30, 32], [1, 1, 9, 9]])},
            {"box": [[4, 8, 30, 32], [1, 1, 9, 9]]},
        ),
        (
            {"bboxes": [[4, 8, 30, 32]], "points": [[[12, 20]]], "labels": [[0]]},
            {
                "box": [[4, 8, 30, 32]],
                "point_coords": [[[12, 20]]],
                "point_labels": [[0]],
            },
        ),
    ],
)
def test_prompts_mean_what_they_mean_in_ultralytics(sam, predictor, prompt, ours):
    wanted = predictor.predict(**ours, multimask_output=False)
    (result,) = sam(BGR, **prompt, **ALL)
    np.testing.assert_array_equal(result.masks.data.numpy(), wanted.masks[:, 0])
    np.testing.assert_allclose(result.boxes.conf, wanted.scores[:, 0])
    assert result.boxes.cls.tolist() == list(range(len(wanted.masks)))
    assert result.names == {i: str(i) for i in range(len(wanted.masks))}


def test_mask_prompts(sam, predictor):
    logits = predictor.predict(point_coords=[[12, 20]], multimask_output=False).logits
    wanted = predictor.predict(mask_input=logits, multimask_output=False)
    (result,) = sam(BGR, masks=logits, **ALL)
    np.testing.assert_array_equal(result.masks.data.numpy(), wanted.masks)
    drawn = np.zeros(HW, bool)
    drawn[:, :28] = True
    low_res = SamPrompts.of(masks=drawn).mask_logits(32)
    assert low_res.shape == (1, 1, 32, 32)
    assert (low_res[0, 0, :, :16] > 5).all()
    assert (low_res[0, 0, :, 16:] < -5).all()


def test_three_masks_per_prompt(sam, predictor):
    wanted = predictor.predict(point_coords=[[[12, 20]], [[40, 8]]])
    points = [[12, 20], [40, 8]]
    (result,) = sam(BGR, points=points, multimask_output=True, **ALL)
    np.testing.assert_array_equal(
        result.masks.data.numpy(), wanted.masks.reshape(6, *HW)
    )


def test_unlikely_objects_are_left_out_and_the_others_keep_their_number(sam):
    points = [[12, 20], [40, 8], [30, 30]]
    (everything,) = sam(BGR, points=points, **ALL)
    scores = everything.boxes.conf
    (best,) = sam(BGR, points=points, conf=float(scores.sort().values[1]))
    assert best.boxes.cls.tolist() == [scores.argmax()]
    assert len(best.names) == 3


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ({"labels": [1]}, "without points"),
        ({"points": [[1, 2], [3, 4]], "labels": [1]}, "1 labels for 2 points"),
        ({"points": [1, 2, 3]}, r"\(N, 2\)"),
        ({"points": [[[1, 2]], [[1, 2], [3, 4]]]}, "once per object"),
        ({"bboxes": [1, 2, 3]}, r"\(N, 4\)"),
        ({"bboxes": [5, 5, 2, 2]}, "turned around"),
        ({"points": [99, 2]}, "outside the image"),
        ({"points": [[1, 2], [3, 4]], "bboxes": [1, 1, 3, 3]}, "not for 1 and 2"),
        ({"bboxes": np.zeros((0, 4))}, "at least one"),
        ({"masks": [1, 2]}, "masks"),
    ],
)
def test_malformed_prompts(sam, prompt, message):
    with pytest.raises(PromptError, match=message):
        sam(BGR, **prompt)


# ------------------------------------------------------------------ everything


def test_everything_without_prompts(sam, network):
    wanted = AutomaticMaskGenerator(
        network,
        points_per_side=4,
        pred_iou_thresh=0.0,
        stability_score_thresh=0.0,
        stability_score_offset=0.95,
        box_nms_thresh=0.9,
    ).generate(FRAMES[0])
    (result,) = sam(
        BGR, points_stride=4, conf_thres=0.0, stability_score_thresh=0.0, iou=0.9, **ALL
    )
    assert len(result) == len(wanted) > 0
    for mask, score, record in zip(
        result.masks.data, result.boxes.conf, wanted, strict=True
    ):
        np.testing.assert_array_equal(mask, record["segmentation"])
        assert float(score) == pytest.approx(record["predicted_iou"])


def test_own_grid(sam):
    options = {"conf_thres": -1.0, "stability_score_thresh": 0.0, **ALL}
    (result,) = sam(BGR, point_grids=[np.array([[0.5, 0.5]])], **options)
    assert 1 <= len(result) <= 3


# ------------------------------------------------------------------ sources


@pytest.fixture
def folder(tmp_path):
    for i, frame in enumerate(FRAMES[:2]):
        Image.fromarray(frame).save(tmp_path / f"{i * 8 + 2}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    return tmp_path


def test_kinds_of_sources_show_the_same_image(sam, folder):
    file = folder / "2.png"
    with Image.open(file) as picture:
        picture.load()
    tensor = torch.from_numpy(FRAMES[:1].astype(np.float32) / 255).permute(0, 3, 1, 2)
    (wanted,) = sam(BGR, points=[12, 20], **ALL)
    for source in (str(file), file, [file], picture, tensor, tensor[0], [BGR]):
        (result,) = sam(source, points=[12, 20], **ALL)
        np.testing.assert_array_equal(result.orig_img, BGR)
        np.testing.assert_array_equal(result.masks.data, wanted.masks.data)
        assert result.path == (str(file) if "2.png" in str(source) else "image0.jpg")
        assert all(time >= 0 for time in result.speed.values())


def test_grey_images_are_stretched(sam):
    (result,) = sam(np.linspace(0, 9000, 56 * 40).reshape(HW), points=[12, 20])
    assert result.orig_img.shape == (*HW, 3)
    assert result.orig_img.max() == 255


def test_a_picture_that_shows_nothing_has_no_masks_and_is_told_of(sam, caplog):
    """Those after it are segmented all the same."""
    flat, unknown = np.full(HW, 7, np.uint8), np.full(HW, np.nan, np.float32)
    results = sam([flat, BGR, unknown], points=[12, 20], **ALL)
    assert [len(result) > 0 for result in results] == [False, True, False]
    told = [line for line in caplog.messages if "shows nothing to segment" in line]
    assert [line.split()[0] for line in told] == ["image0.jpg", "image2.jpg"]
    assert len(sam(points=[12, 20], **ALL)[0]) == 0  # the last one again


def test_folders_and_patterns(sam, folder):
    for source in (folder, folder / "*.png", str(folder / "*.png")):
        results = sam.predict(source, points=[12, 20], **ALL)
        names = sorted(result.path for result in results)
        assert names == [str(folder / "10.png"), str(folder / "2.png")]
    assert [r.path for r in sam([BGR, BGR], points=[2, 2], **ALL)] == [
        "image0.jpg",
        "image1.jpg",
    ]


def test_stacks_and_videos_are_done_frame_by_frame(sam, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", FRAMES, photometric="rgb")
    results = sam(tmp_path / "a.tif", points=[12, 20], **ALL)
    assert len(results) == 3
    for result, frame in zip(results, FRAMES, strict=True):
        np.testing.assert_array_equal(result.orig_img[..., ::-1], frame)
    iio = pytest.importorskip("imageio.v3")
    pytest.importorskip("av")
    iio.imwrite(tmp_path / "a.mp4", FRAMES, plugin="pyav", codec="libx264")
    results = sam(str(tmp_path / "a.mp4"), points=[12, 20], **ALL)
    assert [r.path for r in results] == [str(tmp_path / "a.mp4")] * 3


def test_stream_reads_one_image_at_a_time(sam, folder):
    results = sam(folder, stream=True, points=[12, 20], **ALL)
    assert next(results).path.endswith("2.png")
    (folder / "10.png").unlink()
    with pytest.raises(ImageError, match=r"10\.png"):
        next(results)


def test_the_last_image_is_not_encoded_again(sam, monkeypatch):
    with pytest.raises(ImageError, match="no picture yet"):
        sam(points=[12, 20])
    (first,) = sam(BGR, points=[12, 20], **ALL)
    monkeypatch.setattr(Sam2, "encode_image", None)
    (again,) = sam(points=[[12, 20], [40, 8]], **ALL)
    np.testing.assert_array_equal(again.masks.data[0], first.masks.data[0])
    np.testing.assert_array_equal(again.orig_img, BGR)


def test_sources_that_are_none(sam, tmp_path):
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "broken.png").write_text("not an image")
    for source, message in (
        (tmp_path / "absent.png", "There is no file"),
        (tmp_path / "notes.txt", "unknown kind"),
        (tmp_path / "broken.png", "could not be read"),
        (tmp_path / "*.jpg", "Nothing matches"),
        ("https://example.com/a.png", "download"),
        ([], "empty"),
        (torch.zeros(4, 5), r"\(B, 3, H, W\)"),
        (np.zeros((2, 3, 4, 5)), "shape"),
    ):
        with pytest.raises(ImageError, match=message):
            sam(source)
    (tmp_path / "broken.png").unlink()
    with pytest.raises(ImageError, match="no images or videos"):
        sam(tmp_path)


# ------------------------------------------------------------------ options


def test_options_of_ultralytics_are_accepted_and_others_refused(sam):
    sam(BGR, points=[12, 20], imgsz=1024, retina_masks=True, verbose=False, device="")
    sam(BGR, points=[12, 20], device="cpu", iou=None)
    with pytest.raises(Sam2Error, match="no option 'confidence'"):
        sam(BGR, confidence=0.5)
    with pytest.raises(InferenceError, match="cuda:9"):
        sam(BGR, points=[12, 20], device=9)


def test_saving_from_a_call(sam, folder, monkeypatch):
    monkeypatch.chdir(folder)
    options = {"points": [12, 20], "save": True, "save_txt": True, **ALL}
    results = sam(folder, **options)
    assert all(result.save_dir.endswith("predict") for result in results)
    sam(BGR, save_crop=True, **options)
    sam(BGR, project="out", name="here", **options)
    sam(BGR, project="out", name="here", exist_ok=True, **options)
    made = [p for top in ("runs", "out") for p in (folder / top).rglob("*.*")]
    assert sorted(path.relative_to(folder).as_posix() for path in made) == [
        "out/here/image0.jpg",
        "out/here/labels/image0.txt",
        "runs/segment/predict/10.jpg",
        "runs/segment/predict/2.jpg",
        "runs/segment/predict/labels/10.txt",
        "runs/segment/predict/labels/2.txt",
        "runs/segment/predict2/crops/0/image0.jpg",
        "runs/segment/predict2/image0.jpg",
        "runs/segment/predict2/labels/image0.txt",
    ]
    lines = (folder / "out/here/labels/image0.txt").read_text().splitlines()
    assert len(lines) == 1  # the second call has not been added to the first
