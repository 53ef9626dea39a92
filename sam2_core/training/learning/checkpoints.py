"""What a training run resumes from: written as a whole or not at all."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)


class Resumable:
    """The state that a trainer keeps, in a folder of its own."""

    folder: Path
    model: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    step: int
    seconds: float

    @property
    def checkpoint(self) -> Path:
        """File from which training goes on."""
        return self.folder / "checkpoint.pt"


def save_checkpoint(trainer: Resumable, **more: object) -> None:
    """Write a trainer's state, and more beside it, atomically."""
    state = {
        "model": trainer.model.state_dict(),
        "average": trainer.average.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "generator": trainer.generator.get_state(),
        "step": trainer.step,
        "seconds": trainer.seconds,
        **more,
    }
    part = trainer.checkpoint.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, trainer.checkpoint)


def resume(trainer: Resumable) -> None:
    """Bring a trainer to the state that was saved, if one was; make its folder."""
    trainer.folder.mkdir(parents=True, exist_ok=True)
    if not trainer.checkpoint.exists():
        return
    state = torch.load(trainer.checkpoint, map_location="cpu", weights_only=True)
    trainer.model.load_state_dict(state["model"])
    trainer.average.load_state_dict(state["average"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.generator.set_state(state["generator"])
    trainer.step, trainer.seconds = state["step"], state["seconds"]
    logger.info("resumed at step %d", trainer.step)
