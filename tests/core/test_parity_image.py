"""The image predictor against recorded calls of the original."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden import DEVICE, Golden, cases, checksum, inputs

from sam2_core.compat import SAM2ImagePredictor, build_sam2


def replay(golden: Golden, folder) -> None:
    torch.save({"model": golden.weights}, folder / "weights.pt")
    config = f"configs/{golden.log['config']}.yaml"
    model = build_sam2(config, folder / "weights.pt", device=DEVICE)
    (folder / "weights.pt").unlink()
    predictor = SAM2ImagePredictor(model)
    results = {}
    for number, call in enumerate(golden.log["calls"]):
        key, name, args = f"c{number:02d}", call["call"], dict(call.get("args", {}))
        if name == "set_image":
            predictor.set_image(inputs()[call["image"]])
            if f"{key}.image_embed.sub" in golden.arrays:
                golden.check_tensor(
                    f"{key}.image_embed", predictor.get_image_embedding()
                )
        elif name == "set_image_batch":
            predictor.set_image_batch([inputs()[image] for image in call["images"]])
        elif name == "predict":
            results[number] = check_prediction(golden, key, predictor, args, results)
        else:
            assert name == "predict_batch"
            prompts = {
                k: [np.array(entry) for entry in v] if isinstance(v, list) else v
                for k, v in args.items()
            }
            batch = zip(*predictor.predict_batch(**prompts), strict=True)
            for i, (masks, iou, low) in enumerate(batch):
                golden.check_close(f"{key}.b{i}", iou, "iou", "iou")
                golden.check_low(f"{key}.b{i}", low)
                golden.check_bits(f"{key}.b{i}", masks, "mask_bits")


def check_prediction(golden, key, predictor, args, results):
    source = args.get("mask_input")
    if source is not None:
        _, iou, low = results[source["from_call"]]
        args["mask_input"] = low[iou.argmax()][None]
    prompts = {
        k: np.array(v, np.float32) if isinstance(v, list) else v
        for k, v in args.items()
    }
    masks, iou, low = predictor.predict(**prompts)
    info = golden.log["info"][key]
    assert list(masks.shape) == info["masks_shape"]
    assert masks.dtype == np.float32
    golden.check_close(key, iou, "iou", "iou")
    golden.check_low(key, low)
    if args.get("return_logits"):
        golden.check_close(key, masks[:, ::4, ::4], "mask_logits.sub", "low")
    else:
        golden.check_bits(key, masks, "mask_bits")
    return masks, iou, low


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=pytest.mark.slow
            if name == "sam2.1_hiera_t/image_fallback"
            else pytest.mark.large,
        )
        for name in cases("image")
    ],
)
def test_image_case(name, tmp_path):
    replay(Golden.load(name), tmp_path)


@pytest.mark.parametrize("name", cases("image_fallback"))
def test_weights_are_those_of_the_recording(name):
    golden = Golden.load(name)
    assert checksum(golden.weights) == golden.log["weights_crc32"]
