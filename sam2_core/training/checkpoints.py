"""What a training run resumes from: written as a whole or not at all."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, Protocol

import torch

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)


class Resumable(Protocol):
    """The state that a trainer keeps."""

    model: Any
    average: Any
    optimizer: Any
    generator: torch.Generator
    step: int
    seconds: float


def save_checkpoint(path: Path, trainer: Resumable, **more: object) -> None:
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
    part = path.with_suffix(".part")
    torch.save(state, part)
    os.replace(part, path)


def resume(path: Path, trainer: Resumable) -> None:
    """Bring a trainer to the state that was saved."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    trainer.model.load_state_dict(state["model"])
    trainer.average.load_state_dict(state["average"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.generator.set_state(state["generator"])
    trainer.step, trainer.seconds = state["step"], state["seconds"]
    logger.info("resumed at step %d", trainer.step)
