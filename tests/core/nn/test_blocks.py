"""Blocks of the network against straightforward versions of themselves."""

from __future__ import annotations

import pytest
import torch
from micro import micro_model
from torch import nn

from sam2_core.nn import hiera, layers, mask_decoder
from sam2_core.nn.attention import Attention
from sam2_core.nn.hiera import Block, join_windows, pool_2x2, split_windows
from sam2_core.nn.layers import LayerNorm2d, chained_1x1, in_parts
from sam2_core.nn.mask_decoder import DecodedMasks, ambiguous_masks, clear_mask


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    with torch.no_grad():
        yield


@pytest.mark.parametrize("size", [2, 3, 5, 7])
def test_windows_come_back_together(size):
    x = torch.randn(2, 7, 10, 3)
    windows, padded = split_windows(x, size)
    assert windows.shape[1:] == (size, size, 3)
    assert all(side % size == 0 for side in padded)
    assert torch.equal(join_windows(windows, size, padded, (7, 10)), x)
    assert torch.equal(windows[0, : min(size, 7)], x[0, : min(size, 7), :size])


def test_pooling_takes_the_maximum():
    x = torch.randn(1, 4, 6, 2)
    expected = x.reshape(1, 2, 2, 3, 2, 2).amax((2, 4))
    assert torch.equal(pool_2x2(x), expected)


def test_positions_are_made_once_and_again_for_other_weights(monkeypatch):
    trunk = micro_model().image_encoder.trunk
    made = []
    make = trunk._positions
    monkeypatch.setattr(trunk, "_positions", lambda *hw: made.append(hw) or make(*hw))
    first = trunk.positions(32, 32)
    assert trunk.positions(32, 32) is first
    assert made == [(32, 32)]
    state = {key: value + 1 for key, value in trunk.state_dict().items()}
    trunk.load_state_dict(state)
    torch.testing.assert_close(trunk.positions(32, 32), make(32, 32))
    assert not torch.equal(trunk.positions(32, 32), first)
    with torch.enable_grad():
        trunk.positions(32, 32)
    assert len(made) == 3


def test_a_network_made_in_inference_mode_works():
    pixels = torch.randn(1, 3, 128, 128)
    usual = micro_model().encode_image(pixels).embedding
    with torch.inference_mode():
        made_there = micro_model().encode_image(pixels).embedding
    torch.testing.assert_close(made_there, usual)


def test_windowed_attention_does_not_see_beyond_its_window():
    block = Block(8, 8, 2, window_size=4, pool=False)
    x = torch.randn(1, 8, 8, 8)
    other = x.clone()
    other[:, 4:, 4:] = 0
    before, after = block(x), block(other)
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:, 4:], after[:, 4:, 4:])


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("batch", [1, 2])
def test_strips_make_no_difference(monkeypatch, pool, batch):
    block = Block(8, 16, 2, window_size=4, pool=pool).eval()
    x = torch.randn(batch, 14, 10, 8)  # two rows and columns beyond whole windows
    with torch.inference_mode():
        whole = block(x)
        seen = []
        work = block._whole
        monkeypatch.setattr(
            block, "_whole", lambda x: seen.append(len(x[0])) or work(x)
        )
        # Bytes of the widest map over the windows of two rows.
        monkeypatch.setattr(hiera, "PART_BYTES", 2 * batch * 4 * 10 * 4 * 16 * 4)
        torch.testing.assert_close(block(x), whole, rtol=0, atol=1e-5)
    assert seen == [8, 6]
    seen.clear()
    with torch.enable_grad():
        block(x)
    assert seen == [14]


@pytest.mark.parametrize("pool", [False, True])
def test_heads_are_worked_on_in_parts_where_that_pays(monkeypatch, pool):
    torch.manual_seed(0)
    attention = hiera.WindowAttention(16, 128, 2, pool_queries=pool)
    x = torch.randn(3, 4, 6, 16)
    with torch.inference_mode():
        usual = attention(x)
        monkeypatch.setattr(hiera, "pays_off", lambda q, narrower: True)
        monkeypatch.setattr(hiera.F, "scaled_dot_product_attention", None)
        torch.testing.assert_close(attention(x), usual, rtol=0, atol=1e-5)


@pytest.mark.parametrize("window", [0, 4])
def test_pooling_blocks_halve_the_grid_and_widen(window):
    block = Block(8, 16, 2, window_size=window, pool=True)
    assert block(torch.randn(1, 8, 12, 8)).shape == (1, 4, 6, 16)


def test_attention_is_softmax_of_scaled_products():
    attention = Attention(12, 3, 6, kv_dim=5)
    q, k, v = torch.randn(2, 4, 12), torch.randn(2, 7, 5), torch.randn(2, 7, 5)
    heads = []
    for i in range(3):
        part = slice(2 * i, 2 * i + 2)
        qi = attention.q_proj(q)[..., part]
        ki, vi = attention.k_proj(k)[..., part], attention.v_proj(v)[..., part]
        heads.append((qi @ ki.transpose(1, 2) / 2**0.5).softmax(-1) @ vi)
    expected = attention.out_proj(torch.cat(heads, -1))
    torch.testing.assert_close(attention(q, k, v), expected)


@pytest.mark.parametrize("channels", [4, 16])
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_layer_norm_normalises_each_pixel(channels, order):
    norm = LayerNorm2d(channels)
    norm.weight.copy_(torch.randn(channels))
    norm.bias.copy_(torch.randn(channels))
    x = torch.randn(2, channels, 3, 5)
    found = norm(x.contiguous(memory_format=order))
    assert found.shape == x.shape
    for image, row, column in ((0, 0, 0), (1, 2, 4), (1, 0, 3)):
        pixel = x[image, :, row, column].double()
        deviation = (pixel.var(correction=0) + 1e-6).sqrt()
        expected = (pixel - pixel.mean()) / deviation * norm.weight + norm.bias
        torch.testing.assert_close(found[image, :, row, column], expected.float())


def test_tokens_are_worked_on_in_parts(monkeypatch):
    seen = []

    def layers_(tokens):
        seen.append(len(tokens))
        return tokens[:, :2] * 3

    x = torch.randn(2, 5, 4)
    monkeypatch.setattr(layers, "PART_BYTES", 3 * 8 * 4)  # three tokens 8 wide
    with torch.inference_mode():
        assert torch.equal(in_parts(layers_, x, 8), x[..., :2] * 3)
    assert seen == [3, 3, 3, 1]
    seen.clear()
    with torch.enable_grad():
        in_parts(layers_, x, 8)
    assert seen == [2]  # as it came


def test_maps_of_the_trunk_lie_as_its_blocks_read_them():
    trunk = micro_model().image_encoder.trunk
    assert trunk.patch_embed(torch.randn(1, 3, 64, 64)).is_contiguous()
    assert trunk.positions(16, 16).is_contiguous()


def test_two_1x1_convolutions_are_one():
    first, second = nn.Conv2d(5, 16, 1), nn.Conv2d(16, 3, 1)
    x = torch.randn(2, 5, 6, 7)
    torch.testing.assert_close(
        chained_1x1(x, first, second), second(first(x)), atol=1e-5, rtol=1e-5
    )


def decoded(logit: float, iou: list[float]) -> DecodedMasks:
    """Mask 0 is positive on half of the pixels and `logit` elsewhere."""
    logits = torch.full((1, 4, 8, 8), 3.0)
    logits[:, 0, :4] = logit
    tokens = torch.arange(4.0)[None, :, None].expand(1, 4, 5)
    return DecodedMasks(logits, torch.tensor([iou]), tokens, torch.ones(1, 1))


def test_a_stable_mask_is_kept():
    found = clear_mask(decoded(-3.0, [0.1, 0.9, 0.8, 0.7]), 0.05, 0.98)
    assert found.logits.shape == (1, 1, 8, 8)
    assert found.iou.item() == pytest.approx(0.1)
    assert (found.logits[0, 0, :4] == -3).all()


def test_an_unstable_mask_gives_way_to_the_best_other_one():
    found = clear_mask(decoded(-0.01, [0.1, 0.2, 0.8, 0.7]), 0.05, 0.98)
    assert found.iou.item() == pytest.approx(0.8)
    assert (found.logits == 3).all()
    assert (found.tokens == 0).all()


def test_an_empty_mask_counts_as_stable():
    masks = decoded(-3.0, [0.1, 0.2, 0.8, 0.7])
    masks.logits[:, 0] = -5
    assert clear_mask(masks, 0.05, 0.98).iou.item() == pytest.approx(0.1)


def test_ambiguous_masks_are_the_last_three():
    found = ambiguous_masks(decoded(1.0, [0.1, 0.2, 0.3, 0.4]))
    assert found.logits.shape[1] == 3
    assert found.tokens[0, :, 0].tolist() == [1, 2, 3]


def test_objects_in_a_batch_do_not_mix():
    model = micro_model()
    features = model.encode_image(torch.randn(1, 3, 128, 128))
    memory, code = torch.randn(2, 64 + 8, 8), torch.randn(1, 64 + 8, 8)
    together = model.attend_to_memory(
        features.embedding, memory, code.expand(2, -1, -1), 8
    )
    for i in range(2):
        alone = model.attend_to_memory(features.embedding, memory[i : i + 1], code, 8)
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shared", [True, False])
def test_prompts_of_a_batch_do_not_mix(monkeypatch, shared):
    torch.manual_seed(0)
    monkeypatch.setattr(mask_decoder, "PROMPTS", 2)
    model = micro_model()
    images = model.encode_image(torch.randn(1 if shared else 5, 3, 128, 128))
    xy, labels = torch.rand(5, 1, 2) * 128, torch.ones(5, 1, dtype=torch.int32)
    together = model.decode_masks(images.embedding, images.high_res, xy, labels)
    assert together.logits.shape == (5, 4, 32, 32)
    for i in range(5):
        image, rows = images[0 if shared else i], slice(i, i + 1)
        alone = model.decode_masks(
            image.embedding, image.high_res, xy[rows], labels[rows]
        )
        for field in ("logits", "iou", "tokens", "object_score"):
            expected, found = getattr(alone, field), getattr(together, field)[rows]
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_pointers_have_no_place_on_the_grid():
    """Moving pointer tokens around among themselves changes nothing."""
    model = micro_model()
    embedding = model.encode_image(torch.randn(1, 3, 128, 128)).embedding
    memory, code = torch.randn(1, 64 + 8, 8), torch.randn(1, 64 + 8, 8)
    order = torch.cat((torch.arange(64), 64 + torch.randperm(8)))
    torch.testing.assert_close(
        model.attend_to_memory(embedding, memory[:, order], code[:, order], 8),
        model.attend_to_memory(embedding, memory, code, 8),
        atol=1e-5,
        rtol=1e-5,
    )


def test_absent_objects_are_marked_in_memory_and_pointer():
    model = micro_model()
    embedding = torch.randn(1, 32, 8, 8)
    mask = torch.zeros(1, 1, 128, 128)
    there, gone = torch.tensor([[True]]), torch.tensor([[False]])
    difference = model.encode_memory(embedding, mask, gone) - model.encode_memory(
        embedding, mask, there
    )
    expected = model.no_obj_embed_spatial[0][None, :, None, None]
    torch.testing.assert_close(
        difference, expected.expand_as(difference), atol=1e-5, rtol=1e-4
    )
    token = torch.randn(1, 32)
    assert torch.equal(model.object_pointer(token, gone), model.no_obj_ptr)
    assert not torch.equal(model.object_pointer(token, there), model.no_obj_ptr)


def test_sam_20_knows_no_age_of_pointers():
    model = micro_model(version="2.0")
    assert not model.pointer_positions(torch.tensor([0.1, 0.9])).any()
    assert micro_model().pointer_positions(torch.tensor([0.1, 0.9])).any()
