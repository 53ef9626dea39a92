"""Every block of the network against what the original's produced."""

from __future__ import annotations

import pytest
import torch
from golden import TOLERANCE, Golden, cases, unit

from sam2_core.config import VARIANTS
from sam2_core.nn.mask_decoder import ambiguous_masks
from sam2_core.nn.positions import sine_scalar
from sam2_core.nn.sam2 import Sam2


def x(name: str, *shape: int, scale: float = 1.0) -> torch.Tensor:
    n = 1
    for side in shape:
        n *= side
    return torch.from_numpy(
        (scale * unit(f"input:{name}", n)).astype("float32").reshape(shape)
    )


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            name,
            marks=pytest.mark.slow
            if name == "sam2.1_hiera_t/components"
            else pytest.mark.large,
        )
        for name in cases("components")
    ],
)
def recorded(request):
    golden = Golden.load(request.param)
    model = Sam2(VARIANTS[golden.variant])
    model.load_state_dict(golden.weights)
    with torch.inference_mode():
        yield golden, model.eval()


def test_memory_encoder(recorded):
    golden, model = recorded
    mask = x("mask", 1, 1, 1024, 1024, scale=4).sigmoid() * 20 - 10
    memory = model.memory_encoder(x("pix", 1, 256, 64, 64, scale=3), mask)
    golden.check_tensor("memenc.features", memory)
    positions = model.memory_positions().transpose(1, 2).unflatten(2, (64, 64))
    golden.check_tensor("memenc.pos", positions)


def test_memory_attention(recorded):
    golden, model = recorded
    tokens = 2 * 4096 + 12
    out = model.memory_attention(
        x("curr", 4096, 1, 256, scale=3).transpose(0, 1),
        x("curr_pos", 4096, 1, 256, scale=0.7).transpose(0, 1),
        x("memory", tokens, 1, 64, scale=2).transpose(0, 1),
        x("memory_pos", tokens, 1, 64, scale=0.7).transpose(0, 1),
        (64, 64),
        12,
    )
    golden.check_tensor("memattn.out", out.transpose(0, 1))


def test_prompt_encoder_and_mask_decoder(recorded):
    golden, model = recorded
    encoder = model.sam_prompt_encoder
    points = torch.tensor(
        [
            [[100, 200], [900.5, 3], [512, 512], [0, 0]],
            [[1, 2], [3, 4], [1023, 1023], [7, 8]],
        ]
    )
    labels = torch.tensor([[1, 0, 2, -1], [3, 1, 0, 1]], dtype=torch.int32)
    sparse = encoder.points(points, labels)
    dense = encoder.masks(x("lowmask", 2, 1, 256, 256, scale=8))
    golden.check_close("prompt", sparse, "sparse", "tensor")
    golden.check_tensor("prompt.dense", dense)

    decoded = ambiguous_masks(
        model.sam_mask_decoder(
            x("emb", 2, 256, 64, 64, scale=3),
            encoder.dense_positions(),
            (x("hr0", 2, 32, 256, 256), x("hr1", 2, 64, 128, 128)),
            sparse,
            dense,
        )
    )
    golden.check_tensor("decoder.masks", decoded.logits)
    golden.check_close("decoder", decoded.iou, "iou", "iou")
    golden.check_close("decoder", decoded.tokens, "tokens", "tensor")
    golden.check_close("decoder", decoded.object_score, "obj", "obj_score")
    pointers = model.obj_ptr_proj(decoded.tokens)
    golden.check_close("decoder", pointers, "obj_ptr", "obj_ptr")


def test_temporal_code_of_pointers(recorded):
    golden, _ = recorded
    for distance in (1, 3):
        code = sine_scalar(torch.tensor([distance / 15]), 256)
        want = torch.from_numpy(golden.arrays[f"tpos_1d_{distance}"])
        assert (code - want).abs().max() < TOLERANCE["tensor"]
