"""Named compromises between quality and speed: one table."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sam2_core.errors import PromptError

if TYPE_CHECKING:
    from sam2_core.nn.sam2 import Sam2

# The trunk halves its grid of stride 4 three times; window codes repeat every 8 tokens.
SIZE_STEP = 32


@dataclass(frozen=True)
class Preset:
    """What a session gives up for speed.

    Attributes
    ----------
    image_size : int
        Side of the square, in pixels, that frames are resized to. Never more than the
        model's own.
    tracked_memories : int
        How many tracked frames, besides the prompted ones, are read again. Never more
        than the model's own.
    dtype : str
        Precision of the weights, as :func:`sam2_core.load_model` takes it. Sessions
        leave the weights they are given as they are.
    """

    image_size: int
    tracked_memories: int
    dtype: str


PRESETS = {
    "best": Preset(image_size=1024, tracked_memories=6, dtype="float32"),
    "balanced": Preset(image_size=1024, tracked_memories=3, dtype="auto"),
    "fast": Preset(image_size=512, tracked_memories=3, dtype="auto"),
}


def find_preset(name: str) -> Preset:
    """Preset of this name.

    Raises
    ------
    PromptError
        If there is none.
    """
    if name not in PRESETS:
        raise PromptError(
            f"There is no preset called {name!r}: use {', '.join(PRESETS)}."
        )
    return PRESETS[name]


def with_preset(model: Sam2, name: str) -> Sam2:
    """The model as a preset uses it; weights are shared, the given model is unchanged.

    Raises
    ------
    PromptError
        If there is no such preset.
    """
    preset = find_preset(name)
    config = model.config
    model = with_image_size(model, min(preset.image_size, config.image_size))
    memories = min(preset.tracked_memories, config.memories_read)
    model.config = replace(model.config, tracked_memories=memories)
    return model


def with_image_size(model: Sam2, image_size: int) -> Sam2:
    """The model at another input size; weights are shared, the given one is unchanged.

    Parameters
    ----------
    model : Sam2
        The network.
    image_size : int
        Side of the square, in pixels, that images are resized to; a multiple of 32.

    Raises
    ------
    PromptError
        If the size is none.
    """
    if image_size < SIZE_STEP or image_size % SIZE_STEP:
        raise PromptError(
            f"image_size is {image_size}: give a multiple of {SIZE_STEP}, such as 512."
        )
    other, encoder = copy.copy(model), copy.copy(model.sam_prompt_encoder)
    other.config = replace(model.config, image_size=image_size)
    encoder.image_size = image_size
    encoder.grid_size = other.config.grid_size
    # Shallow copies of modules share the dictionary of their parts.
    other._modules = {**model._modules, "sam_prompt_encoder": encoder}
    return other
