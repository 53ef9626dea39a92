"""One training step of the close-up network: first answers, then what follows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from sam2_core.closeups.portraits import signs
from sam2_core.nn.closeup import (
    SIDE,
    SeenObject,
    frame_maps,
    prompt_maps,
    window_maps,
)
from sam2_core.training.examples.clicks import sample_error_clicks
from sam2_core.training.examples.window_batch import BOX, CLICK, FOLLOW
from sam2_core.training.learning.image_step import StepResult
from sam2_core.training.learning.losses import balanced_cross_entropy, dice_loss
from sam2_core.training.practice.asked import AskedBatch

if TYPE_CHECKING:
    from sam2_core.nn.closeup import CloseUp
    from sam2_core.training.examples.window_batch import WindowBatch
    from sam2_core.training.practice.asked import AnyBatch

NAMES = {CLICK: "click", BOX: "box", FOLLOW: "follow"}
CORRECTED = 0.5  # of the windows of a round come again in the next
CARRIED = 0.7  # of the followed ones among them go on to the next frame
FORGOTTEN = 0.9  # of the corrected ones lose sight of the frame before
HARDENED = 0.3  # of the masks that are corrected are known as outlines only
UNASKED = 0.25  # of the others are only looked at again, without another click
SCORE_WEIGHT, PRESENCE_WEIGHT = 1.5, 1.0


@dataclass
class _Round:
    """What the network is asked at a time, N windows.

    ``images`` (N, 3, S, S), ``grey`` and ``masks`` (N, 2, S, S) float as
    :func:`frame_maps` takes them, ``points``, ``labels`` and ``earlier`` as
    :func:`prompt_maps` does, and what is true: ``target``, ``known`` (N, S, S) bool,
    ``areas``, ``kinds``, ``strangers`` (N,). ``rows`` (N,) are places in the batch,
    ``carried`` (N,) bool tells those that have gone on to the next frame, ``first``
    (N,) bool those that no correction and no other frame came before.
    """

    rows: Tensor
    images: Tensor
    grey: Tensor
    masks: Tensor
    points: Tensor
    labels: Tensor
    earlier: Tensor
    target: Tensor
    known: Tensor
    areas: Tensor
    kinds: Tensor
    strangers: Tensor
    carried: Tensor
    first: Tensor

    def part(self, keep: Tensor) -> _Round:
        """Some of the windows."""
        return _Round(**{name: value[keep] for name, value in vars(self).items()})


def closeup_step(
    model: CloseUp,
    batch: AnyBatch,
    generator: torch.Generator,
    rounds: int = 3,
    reported: bool = True,
    unasked: float = UNASKED,
) -> StepResult:
    """Loss of one batch, and IoUs by kind of prompt.

    Parameters
    ----------
    model : CloseUp
        What learns.
    batch : WindowBatch or AskedBatch
        Windows and their prompts; or windows as they were asked, of which there is but
        one round.
    generator : torch.Generator
        Draws corrective clicks, on the device of the batch.
    rounds : int
        In each after the first, half of the windows come again: with a corrective
        click, or on the next frame with the mask found on this one.
    reported : bool
        Without, no IoUs are told, and a GPU need not be waited for.
    unasked : float
        Share of the prompted windows that come again without another click.
    """
    if isinstance(batch, AskedBatch):
        return _asked_step(model, batch, reported)
    # Around all rounds, so that weights are brought to bfloat16 once.
    with torch.autocast(batch.images.device.type, enabled=False):
        asked = _first_round(model, batch)
        loss = asked.images.new_zeros(())
        report: dict[str, float] = {}
        for i in range(rounds):
            prompts = prompt_maps(
                asked.points, asked.labels, asked.earlier, asked.images.shape[-1]
            )
            before = frame_maps(asked.images, asked.grey, asked.masks)
            maps = window_maps(asked.images, prompts, before)
            with torch.autocast(asked.images.device.type, torch.bfloat16):
                seen = _ask(model, maps, asked.first)
            part, iou = _loss(seen, asked)
            loss = loss + part * len(asked.rows) / len(batch.kinds)
            if reported:
                report |= _means(iou, asked.kinds, str(i + 1))
            if i + 1 < rounds:
                asked = _next_round(asked, seen, batch, generator, unasked)
        return StepResult(loss, report)


def _asked_step(model: CloseUp, batch: AskedBatch, reported: bool) -> StepResult:
    with torch.autocast(batch.maps.device.type, torch.bfloat16):
        seen = model(batch.seen())
    loss, iou = _loss(seen, batch)
    return StepResult(loss, _means(iou, batch.kinds) if reported else {})


def _means(iou: Tensor, kinds: Tensor, suffix: str = "") -> dict[str, float]:
    """Mean IoU of each kind of prompt that there is."""
    return {
        f"{name}{suffix}": float(iou[kinds == kind].mean())
        for kind, name in NAMES.items()
        if bool((kinds == kind).any())
    }


def _first_round(model: CloseUp, batch: WindowBatch) -> _Round:
    images = batch.images.permute(0, 3, 1, 2).float()
    n, side = len(batch.kinds), images.shape[-1]
    asked = _Round(
        rows=torch.arange(n, device=images.device),
        images=images,
        grey=batch.before_images.float(),
        masks=batch.before_masks.float(),
        points=batch.points,
        labels=batch.labels,
        earlier=images.new_zeros(n, side, side),
        target=batch.targets,
        known=batch.known,
        areas=batch.whole_areas,
        kinds=batch.kinds,
        strangers=batch.strangers,
        carried=torch.zeros_like(batch.kinds, dtype=torch.bool),
        first=batch.kinds != FOLLOW,
    )
    if side > SIDE:
        # A second look: what the first one saw is known.
        earlier = _first_look(model, asked.part(asked.first))
        asked.earlier[asked.first] = earlier
    return asked


@torch.no_grad()
def _first_look(model: CloseUp, asked: _Round) -> Tensor:
    """Masks as seen in windows of the usual side, -1 to 1, drawn at full size."""
    if not len(asked.rows):
        return asked.earlier
    learning = model.training
    model.eval()  # these few windows are no measure of the usual ones
    factor = asked.images.shape[-1] // SIDE
    points = (asked.points + 0.5) / factor - 0.5
    images = F.avg_pool2d(asked.images, factor)
    # Weights that were cast without gradients must not be those of the rounds.
    with torch.autocast(images.device.type, torch.bfloat16, cache_enabled=False):
        maps = window_maps(images, prompt_maps(points, asked.labels, None))
        seen = _ask(model, maps, asked.first)
    model.train(learning)
    drawn = F.interpolate(
        seen.logits[:, None], scale_factor=float(factor), mode="bilinear"
    )
    return torch.tanh(drawn[:, 0] / 2)


def _ask(model: CloseUp, maps: Tensor, first: Tensor) -> SeenObject:
    """What the network says of windows, with its changes of those that are first."""
    if model.first is None or not bool(first.any()):
        seen: SeenObject = model(maps)
        return seen
    changed = model.first.weights(model)
    seen = functional_call(model, changed, (maps[first],))
    if bool(first.all()):
        return seen
    others = model(maps[~first])

    def joined(ones: Tensor, rest: Tensor) -> Tensor:
        whole = ones.new_empty(len(maps), *ones.shape[1:])
        whole[first], whole[~first] = ones, rest
        return whole

    return SeenObject(
        joined(seen.logits, others.logits),
        joined(seen.iou, others.iou),
        joined(seen.present, others.present),
    )


def _next_round(
    asked: _Round,
    seen: SeenObject,
    batch: WindowBatch,
    generator: torch.Generator,
    unasked: float,
) -> _Round:
    n = max(int(len(asked.rows) * CORRECTED), 1)
    device = asked.rows.device
    keep = torch.randperm(len(asked.rows), generator=generator, device=device)[:n]
    shown, present = seen.logits.detach()[keep], seen.present.detach()[keep]
    part = asked.part(keep)
    chance = torch.rand(n, generator=generator, device=device)
    on = (part.kinds == FOLLOW) & (batch.then_areas[part.rows] >= 0)
    on &= (chance < CARRIED) & ~part.carried
    at, clicked = sample_error_clicks(part.target, shown > 0, generator, margin=2)
    # A mask of its own with the same click is what a second look at it is.
    again = (part.kinds != FOLLOW) & (chance < unasked)
    clicked = torch.where((on | again)[:, None], -1, clicked)
    points = torch.cat((part.points, at), 1)
    labels = torch.cat((part.labels, clicked), 1)
    # Of masks that are older only the outline is remembered.
    hard = torch.rand(n, 1, 1, generator=generator, device=device) < HARDENED
    drawn = torch.where(hard, shown.sign(), torch.tanh(shown / 2))
    earlier = torch.where(on[:, None, None], 0.0, drawn)
    # A frame on which the object is not seen is skipped; what was known stays.
    lost = (present < 0) | ~(shown > 0).flatten(1).any(1)
    rows = part.rows
    images = batch.then_images[rows].permute(0, 3, 1, 2).float()
    lost = lost[:, None, None]
    grey, masks = part.grey.clone(), part.masks.clone()
    grey[:, 0] = torch.where(lost, grey[:, 0], part.images.mean(1))
    masks[:, 0] = torch.where(lost, masks[:, 0], signs(shown))
    # Whoever corrects a followed mask clicks on it as it is; where it came from is
    # not asked again.
    forgotten = (chance < FORGOTTEN)[:, None, None, None]
    corrected = torch.where(forgotten, 0.0, part.masks)

    def moved(new: Tensor, old: Tensor) -> Tensor:
        return torch.where(on.view(-1, *[1] * (old.ndim - 1)), new, old)

    return replace(
        part,
        images=moved(images, part.images),
        grey=moved(grey, part.grey),
        masks=moved(masks, corrected),
        points=points,
        labels=labels,
        earlier=earlier,
        target=moved(batch.then_targets[rows], part.target),
        areas=moved(batch.then_areas[rows], part.areas),
        strangers=part.strangers & on,  # who is clicked on is meant
        carried=part.carried | on,
        first=part.first & again,
    )


def _loss(seen: SeenObject, asked: _Round | AskedBatch) -> tuple[Tensor, Tensor]:
    """Mean loss and the IoU of each mask with its whole object.

    Presence is learned where objects are followed; a prompted one is always there. A
    stranger's mask is good, but not of what was prompted.
    """
    target, wanted = asked.target, asked.target.float()
    # Beyond the image there is nothing to be wrong about.
    logits = torch.where(asked.known, seen.logits, -20.0)[:, None]
    visible = target.flatten(1).any(1)
    cross = balanced_cross_entropy(logits, wanted)[:, 0]
    dice = dice_loss(logits, wanted)[:, 0] * visible
    with torch.no_grad():
        mask = logits[:, 0] > 0
        both = (mask & target).flatten(1).sum(1).float()
        unseen = (asked.areas - wanted.flatten(1).sum(1)).clamp(min=0)
        union = (mask | target).flatten(1).sum(1).float() + unseen
        iou = both / union.clamp(min=1)
    meant = ~asked.strangers
    score = F.binary_cross_entropy_with_logits(seen.iou, iou * meant)
    followed = asked.kinds == FOLLOW
    presence = F.binary_cross_entropy_with_logits(
        seen.present,
        (visible & meant).float(),
        weight=followed.float(),
        reduction="sum",
    ) / followed.sum().clamp(min=1)
    total = (
        (0.5 * cross + dice).mean() + SCORE_WEIGHT * score + PRESENCE_WEIGHT * presence
    )
    return total, iou
