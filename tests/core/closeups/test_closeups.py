"""Objects seen at their own scale, with a network that knows only bright things."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from bright import Bright, iou
from two_discs import DISCS, HW, disc, picture

from sam2_core.closeups.answers import Answer
from sam2_core.closeups.close_following import follow
from sam2_core.closeups.closeups import CloseUps
from sam2_core.closeups.portraits import Portrait
from sam2_core.closeups.questions import (
    FINE_SIDE,
    FINEST_SIDE,
    closer_look,
    first_questions,
    window_of_mask,
)
from sam2_core.closeups.windows import Window
from sam2_core.image import answered
from sam2_core.nn.closeup import IMAGE_MAPS, MAPS, PROMPT_MAPS, SIDE

# Where the network's input has what.
NEGATIVE_SPOTS, EARLIER = IMAGE_MAPS + 2, IMAGE_MAPS + 6
FRAMES = range(IMAGE_MAPS + PROMPT_MAPS, MAPS)


def click(name, label=1):
    x, y, _ = DISCS[name]
    return np.array([[x, y]], np.float32), np.array([label], np.int32)


@pytest.fixture
def network():
    return Bright().eval()


class TwoFold(Bright):
    """Another network for first answers."""

    def __init__(self) -> None:
        super().__init__()
        self.other = Bright()

    def for_first_answers(self):
        return self.other


def test_first_answers_have_a_network_of_their_own():
    network = TwoFold().eval()
    close = CloseUps(network, picture("small", "large"))
    found = close.answers(*click("small"))[0]
    x, y, radius = DISCS["large"]
    corners = np.array([[x - radius, y - radius], [x + radius, y + radius]], np.float32)
    close.answers(corners, np.array([2, 3], np.int32))
    asked = len(network.other.calls)
    assert asked > 1
    assert network.calls == []
    xy, _ = click("small")
    away = np.concatenate((xy, xy + 40))
    close.answers(away, np.array([1, 0], np.int32))
    close.answers(np.zeros((0, 2), np.float32), np.zeros(0, np.int32), found)
    assert len(network.other.calls) == asked
    assert len(network.calls) == 2


@pytest.mark.parametrize("name", ["small", "large"])
def test_a_click_finds_the_scale_of_the_object(network, name):
    close = CloseUps(network, picture(name))
    best = close.answers(*click(name))[0]
    assert iou((close.draw(best) > 0).numpy(), disc(*DISCS[name])) > 0.9
    # The object has half of the side of the last window.
    assert best.window.side == pytest.approx(4 * DISCS[name][2], rel=0.3)


def test_answers_are_distinct_and_best_first(network):
    close = CloseUps(network, picture("small", "large"))
    answers = close.answers(*click("small"))
    scores = [answer.score for answer in answers]
    assert scores == sorted(scores, reverse=True)
    drawn = [(close.draw(answer) > 0).numpy() for answer in answers]
    for i, mask in enumerate(drawn):
        assert all(iou(mask, other) < 0.75 for other in drawn[i + 1 :])


def test_a_box_says_the_scale(network):
    close = CloseUps(network, picture("small", "large"))
    x, y, r = DISCS["large"]
    corners = np.array([[x - r, y - r], [x + r, y + r]], np.float32)
    best = close.answers(corners, np.array([2, 3], np.int32))[0]
    assert iou((close.draw(best) > 0).numpy(), disc(x, y, r)) > 0.95
    assert network.calls in ([2], [2, 1])  # the two scales, perhaps a finer look


class Nearsighted(Bright):
    """Trusts most what fills its window."""

    def forward(self, maps):
        seen = super().forward(maps)
        seen.iou = 8 * (seen.logits > 0).float().mean((1, 2)) - 4
        return seen


@pytest.mark.parametrize("corrected", [False, True])
def test_a_mask_that_its_window_cuts_off_is_looked_at_wider(corrected):
    network = Nearsighted().eval()
    close = CloseUps(network, picture("large"))
    x, y, r = DISCS["large"]
    xy, labels = np.array([[x + r - 6, y]], np.float32), np.ones(1, np.int32)
    narrow = close.ask(first_questions(xy, labels, HW)[:1])[0]
    assert narrow.cut_off(HW)
    if corrected:
        xy, labels = np.concatenate((xy, xy - 2)), np.ones(2, np.int32)
    found = close.answers(xy, labels, narrow if corrected else None)[0]
    assert not found.cut_off(HW)
    assert iou((close.draw(found) > 0).numpy(), disc(x, y, r)) > 0.9


def test_masks_at_the_border_of_the_image_are_not_cut_off():
    inside = torch.full((SIDE, SIDE), -4.0)
    inside[:, 0] = 4
    inside[[0, -1]] = -4
    for window, cut_off in ((Window(-0.5, 30, 40), False), (Window(10, 30, 40), True)):
        assert Answer(window, inside, 1.0, 1.0).cut_off(HW) == cut_off


@pytest.mark.parametrize(
    ("xy", "labels", "size"),
    [
        ([[400, 400]], [1], FINE_SIDE),
        ([[400, 400], [450, 450]], [1, 1], FINEST_SIDE),
        ([[325, 325], [475, 475]], [2, 3], FINE_SIDE),
    ],
)
def test_corrected_objects_are_looked_at_as_fine_as_they_are_large(xy, labels, size):
    window = Window.around((400, 400), 300, (800, 800))
    start = Answer(window, torch.full((SIDE, SIDE), -4.0), 0.9, 1.0)
    start.logits[24:72, 24:72] = 4  # 150 pixels
    prompts = np.array(xy, np.float32), np.array(labels, np.int32)
    assert closer_look(start, *prompts, (800, 800)).size == size


def test_many_first_prompts_are_answered_together(network):
    image = picture("small", "large")
    xy = np.stack([click("small")[0], click("large")[0]])
    labels = np.ones((2, 1), np.int32)
    together = CloseUps(network, image)
    together.prepare(xy, labels)
    # All windows of both in one batch, then the closer looks, the large one finer.
    assert network.calls[1:] == [1, 1]
    assert network.maps.shape[-1] == FINE_SIDE
    for row in range(2):
        found = together.answers(xy[row], labels[row])[0]
        alone = CloseUps(network, image).answers(xy[row], labels[row])[0]
        torch.testing.assert_close(found.logits, alone.logits)
        assert found.window == alone.window


def test_answers_are_kept_and_corrections_build_on_them(network):
    close = CloseUps(network, picture("large"))
    xy, labels = click("large")
    close.answers(xy, labels)
    before = len(network.calls)
    close.answers(xy, labels)
    assert len(network.calls) == before
    both = np.concatenate((xy, xy + 40)), np.array([1, 0], np.int32)
    close.answers(*both)
    assert network.calls[before:] == [1]
    # The mask so far went in, and so did both clicks.
    assert network.maps[0, EARLIER].max() > 0.9
    assert network.maps[0, EARLIER].min() < -0.9
    assert network.maps[0, NEGATIVE_SPOTS].max() > 0.5


def test_order_of_box_and_clicks_does_not_matter(network):
    image = picture("large")
    xy = np.array([[100, 60], [70, 30], [130, 90]], np.float32)
    one = CloseUps(network, image).answers(xy, np.array([1, 2, 3], np.int32))[0]
    order = [1, 2, 0]
    labels = np.array([2, 3, 1], np.int32)
    other = CloseUps(network, image).answers(xy[order], labels)[0]
    torch.testing.assert_close(one.logits, other.logits)


def test_without_a_place_there_is_no_answer(network):
    close = CloseUps(network, picture("large"))
    assert close.answers(*click("large", label=0)) == []


def test_an_earlier_mask_says_where_the_object_is(network):
    close = CloseUps(network, picture("small", "large"))
    logits = np.full((1, 30, 40), -8, np.float32)
    logits[0, 8:22, 18:32] = 8  # about the large disc, at a quarter of the size
    found = close.answers(*click("small", label=0), logits)[0]
    assert iou((close.draw(found) > 0).numpy(), disc(*DISCS["large"])) > 0.9


@pytest.mark.parametrize("step", [0, 6])
def test_a_moved_object_is_followed(network, step):
    before, now = picture("large"), np.roll(picture("large"), step, axis=1)
    close, later = CloseUps(network, before), CloseUps(network, now)
    found = follow(close, later, close.answers(*click("large"))[:1], [None])[0]
    x, y, r = DISCS["large"]
    assert iou((later.draw(found) > 0).numpy(), disc(x + step, y, r)) > 0.9
    assert found.present > 0.9


class Fickle(Bright):
    """After a negative click it keeps the right half, and sees a bar on top."""

    def forward(self, maps):
        seen = super().forward(maps)
        if bool((maps[:, NEGATIVE_SPOTS] > 0.9).any()):
            side = seen.logits.shape[-1]
            seen.logits[:, :, : side // 2] = -4.0
            seen.logits[:, side // 24 : side // 12] = 4.0
        return seen


def test_a_mask_that_comes_back_is_as_sharp_as_it_was(network):
    """Of a disc of 5 pixels, logits of 32 x 32 cells show one or four."""
    close = CloseUps(network, picture("small", "large"))
    first = close.answers(*click("small"))
    handed = answered(close, first, 1, 32)
    both = np.concatenate((click("small")[0], np.array([[60, 20]], np.float32)))
    labels = np.array([1, 0], np.int32)
    direct = close.answers(both, labels)[0]
    back = close.answers(both, labels, handed.logits)[0]
    assert back.window == direct.window
    torch.testing.assert_close(back.logits, direct.logits)
    coarse = close.answers(both, labels, handed.logits + 0.01)[0]
    assert coarse.window != direct.window


def test_taking_away_from_a_mask_changes_only_what_lies_about_the_click():
    close = CloseUps(Fickle().eval(), picture("large"))
    x, y, r = DISCS["large"]
    half = disc(x, y, r) & (np.arange(HW[1]) >= x)
    away = np.array([[x - r / 2, y]], np.float32)
    first, _ = click("large")

    def found(xy, labels, earlier=None):
        answer = close.answers(xy, np.array(labels, np.int32), earlier)[0]
        return (close.draw(answer) > 0).numpy()

    start = close.answers(*click("large"))[0]
    assert iou(found(away, [0], start), half) > 0.9
    # As the first correction of a click it may turn everything over, later not.
    assert iou(found(np.concatenate((first, away)), [1, 0]), half) < 0.9
    assert iou(found(np.concatenate((first, first + 3, away)), [1, 1, 0]), half) > 0.9


def test_the_network_sees_the_frame_before_and_the_prompted_one(network):
    """The object lies at the same place of all three windows, at the same size."""
    image = picture("large")
    first, before = (CloseUps(network, np.roll(image, s, axis=1)) for s in (-40, 3))
    x, y, _ = DISCS["large"]
    label = np.array([1], np.int32)
    start = first.answers(np.array([[x - 40, y]], np.float32), label)[0]
    portrait = Portrait.of(first.image, start, window_of_mask(start, first.hw))
    known = before.answers(np.array([[x + 3, y]], np.float32), label)[0]
    follow(before, CloseUps(network, image), [known], [portrait])
    now, grey, mask, portrayed, outline = network.maps[0, [0, *FRAMES]]
    assert iou(mask > 0, grey > 0) > 0.9
    assert iou(outline > 0, portrayed > 0) > 0.9
    assert iou(outline > 0, mask > 0) > 0.9
    assert 0.5 < iou(mask > 0, now > 0) < 0.95  # it has moved since
    torch.testing.assert_close(portrayed.max(), grey.max(), rtol=0.02, atol=0)


@pytest.mark.parametrize(("branched", "size"), [(True, FINE_SIDE), (False, SIDE)])
def test_large_objects_with_branches_are_followed_finer(network, branched, size):
    rows, columns = np.mgrid[:200, :220]
    x, y = abs(columns - 110), abs(rows - 100)
    shape = (np.minimum(x, y) < 4) & (np.maximum(x, y) < 70)
    if not branched:
        shape = np.hypot(x, y) < 70
    image = np.where(shape, 200, 20)[..., None].repeat(3, 2).astype(np.uint8)
    close = CloseUps(network, image)
    given = close.from_logits(np.where(shape, 9.0, -9.0)[None].astype(np.float32))
    portrait = Portrait.of(close.image, given, window_of_mask(given, close.hw))
    found = follow(close, close, [given], [portrait])[0]
    assert network.maps.shape[-1] == found.logits.shape[-1] == size
    known = network.maps[0, list(FRAMES)[1::2]] > 0  # frame before, prompted frame
    assert iou(known[0], known[1]) > 0.9
    assert iou((close.draw(found) > 0).numpy(), shape) > 0.8


@pytest.mark.parametrize("width", [30, 90, 220])
def test_a_given_mask_is_kept_to_the_pixel(network, width):
    rng = np.random.default_rng(width)
    rows, columns = np.mgrid[:300, :310]
    degrees = np.degrees(np.arctan2(rows - 150, columns - 155)).astype(int)
    ragged = rng.normal(0, 0.3, 360)[degrees]
    shape = np.hypot(rows - 150, columns - 155) < width / 2 - 4 + ragged
    close = CloseUps(network, np.zeros((300, 310, 3), np.uint8))
    given = close.from_logits(np.where(shape, 9.0, -9.0)[None].astype(np.float32))
    assert np.array_equal((close.draw(given) > 0).numpy(), shape)


@pytest.mark.parametrize("moved", [0, 4])
def test_a_mask_that_the_network_would_not_draw_is_carried_on(network, moved):
    """It draws all that is bright; half of it was meant."""
    image = picture("large")
    x, y, r = DISCS["large"]
    half = disc(x, y, r) & (np.arange(HW[1]) >= x)
    first = CloseUps(network, image)
    given = first.from_logits(np.where(half, 9.0, -9.0)[None].astype(np.float32))
    portrait = Portrait.of(first.image, given, window_of_mask(given, first.hw))
    later = CloseUps(network, np.roll(image, moved, axis=1))
    found = follow(first, later, [given], [portrait])[0]
    drawn = (later.draw(found) > 0).numpy()
    assert iou(drawn, np.roll(half, moved, axis=1)) > 0.85


def test_an_object_that_is_gone_is_not_present(network):
    close = CloseUps(network, picture("small"))
    later = CloseUps(network, np.full((*HW, 3), 20, np.uint8))
    found = follow(close, later, close.answers(*click("small"))[:1], [None])[0]
    assert found.present < 0.1


def test_colours_are_kept_and_grey_is_held_once(network):
    grey = picture("small")
    assert CloseUps(network, grey).image.stride(0) == 0
    color = grey.copy()
    color[3, 4, 2] += 1
    held = CloseUps(network, color).image
    np.testing.assert_array_equal(held.permute(1, 2, 0).numpy(), color)


def test_one_map_of_the_frame_lives_at_a_time(network, monkeypatch):
    close = CloseUps(network, picture("small", "large"))
    answers = close.answers(*click("small"))
    expected = (close.draw(answers[0]) > 0).numpy()
    maps, draw = [], CloseUps.draw

    def watched(self, answer):
        assert all(earlier() is None for earlier in maps)
        drawn = draw(self, answer)
        maps.append(weakref.ref(drawn))
        return drawn

    monkeypatch.setattr(CloseUps, "draw", watched)
    found = answered(close, answers, 3, 32)
    assert len(maps) == len(found.masks) == 3
    np.testing.assert_array_equal(found.masks[0], expected)


@pytest.mark.parametrize("labels", [[2], [3, 2], [2, 3, 2, 3]])
def test_corners_that_are_no_box_are_left_to_the_whole_image(network, labels):
    close = CloseUps(network, picture("large"))
    xy = np.array([[70, 30], [130, 90]] * 2, np.float32)[: len(labels)]
    assert close.answers(xy, np.array(labels, np.int32)) == []
