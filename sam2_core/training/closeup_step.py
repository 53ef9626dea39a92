"""One training step of the close-up network: first answers, then a correction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from sam2_core.nn.closeup import prompt_maps, standardised, window_maps
from sam2_core.training.clicks import sample_error_clicks
from sam2_core.training.image_step import StepResult
from sam2_core.training.losses import balanced_cross_entropy, dice_loss
from sam2_core.training.object_windows import BOX, CLICK, FOLLOW

if TYPE_CHECKING:
    from sam2_core.nn.closeup import CloseUp, SeenObject
    from sam2_core.training.object_windows import WindowBatch

NAMES = {CLICK: "click", BOX: "box", FOLLOW: "follow"}
CORRECTED = 0.5  # of the windows get a second round
SCORE_WEIGHT, PRESENCE_WEIGHT = 1.5, 0.5


def closeup_step(
    model: CloseUp, batch: WindowBatch, generator: torch.Generator, rounds: int = 2
) -> StepResult:
    """Loss of one batch, and IoUs by kind of prompt.

    Parameters
    ----------
    model : CloseUp
        What learns.
    batch : WindowBatch
        Windows and their prompts.
    generator : torch.Generator
        Draws corrective clicks.
    rounds : int
        2 adds a round with a corrective click to half of the windows.
    """
    images = batch.images.permute(0, 3, 1, 2).float()
    before = torch.stack(
        (
            standardised(batch.before_images[:, None].float(), images)[:, 0],
            batch.before_masks.float() * 2 - 1,
        ),
        1,
    )
    before = before * (batch.kinds == FOLLOW)[:, None, None, None]
    points, labels = batch.points, batch.labels
    rows = torch.arange(len(images))
    earlier: Tensor | None = None
    loss = torch.zeros(())
    report: dict[str, float] = {}
    for i in range(rounds):
        prompts = prompt_maps(points, labels, earlier)
        with torch.autocast(images.device.type, torch.bfloat16):
            seen = model(window_maps(images[rows], prompts, before[rows]))
        target, known = batch.targets[rows], batch.known[rows]
        kinds = batch.kinds[rows]
        followed = kinds == FOLLOW
        part, iou = _loss(seen, target, known, batch.whole_areas[rows], followed)
        loss = loss + part * (1.0 if i == 0 else CORRECTED)
        for kind, name in NAMES.items():
            if bool((kinds == kind).any()):
                report[f"{name}{i + 1}"] = float(iou[kinds == kind].mean())
        if i + 1 == rounds:
            break
        keep = torch.randperm(len(rows), generator=generator)
        keep = keep[: int(len(rows) * CORRECTED)]
        shown = seen.logits.detach()[keep]
        at, kind_of_click = sample_error_clicks(
            target[keep], shown > 0, generator, margin=2
        )
        points = torch.cat((points[keep], at), 1)
        labels = torch.cat((labels[keep], kind_of_click), 1)
        earlier = torch.tanh(shown / 2)
        rows = rows[keep]
    return StepResult(loss, report)


def _loss(
    seen: SeenObject,
    target: Tensor,
    known: Tensor,
    whole_areas: Tensor,
    followed: Tensor,
) -> tuple[Tensor, Tensor]:
    """Mean loss and the IoU of each mask with its whole object.

    Presence is learned where objects are followed; a prompted one is always there.
    """
    wanted = target.float()
    # Beyond the image there is nothing to be wrong about.
    logits = torch.where(known, seen.logits, -20.0)[:, None]
    present = target.flatten(1).any(1)
    cross = balanced_cross_entropy(logits, wanted)[:, 0]
    dice = dice_loss(logits, wanted)[:, 0] * present
    with torch.no_grad():
        mask = logits[:, 0] > 0
        both = (mask & target).flatten(1).sum(1).float()
        unseen = (whole_areas - wanted.flatten(1).sum(1)).clamp(min=0)
        union = (mask | target).flatten(1).sum(1).float() + unseen
        iou = both / union.clamp(min=1)
    score = F.binary_cross_entropy_with_logits(seen.iou, iou)
    presence = F.binary_cross_entropy_with_logits(
        seen.present, present.float(), weight=followed.float(), reduction="sum"
    ) / followed.sum().clamp(min=1)
    total = (
        (0.5 * cross + dice).mean() + SCORE_WEIGHT * score + PRESENCE_WEIGHT * presence
    )
    return total, iou
