"""How fast a model is on images and stacks of one size."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from sam2_core.training.examples.clicks import clicks_to_prompt, first_click
from sam2_core.training.generator.synthetic import generate_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from sam2_core.training.labelled_files import Array
    from sam2_core.training.measuring.stack_trials import Session
    from sam2_core.training.measuring.trials import Predictor


@dataclass(frozen=True)
class Speed:
    """Medians on one synthetic image, and on a stack made of it.

    Attributes
    ----------
    size : int
        Side of the image in pixels.
    encode_ms, click_ms : float
        Setting an image and answering one click, milliseconds. A model with close-ups
        does not encode an image to answer clicks.
    frames_per_second : float
        One object followed through frames that are encoded on the way.
    """

    size: int
    encode_ms: float
    click_ms: float
    frames_per_second: float


def measure_speed(
    predictor: Predictor,
    open_session: Callable[[Array], Session],
    size: int = 512,
    repeats: int = 5,
) -> Speed:
    """Time a model on a made-up image of nuclei.

    Parameters
    ----------
    predictor : Predictor
    open_session : callable
        Opens a `Session` on (T, H, W) frames.
    size : int, default 512
        Side of the image in pixels.
    repeats : int, default 5
        Encodings; there are twice as many clicks and one more frame.
    """
    rng = np.random.default_rng(0)
    image, labels = generate_image(rng, size, "nuclei", "fluorescence")
    coords, signs = clicks_to_prompt([first_click(labels == labels.max())])
    encode, click = [], []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        predictor.set_image(image)
        encode.append(time.perf_counter() - start)
    for i in range(2 * repeats + 1):
        # Another place each time: answers to the same click may be kept.
        place = np.add(coords, (i % 4, i // 4))
        start = time.perf_counter()
        predictor.predict(point_coords=place, point_labels=signs, multimask_output=True)
        click.append(time.perf_counter() - start)
    session = open_session(np.stack([image] * (repeats + 2)))
    session.add_prompts(0, 1, point_coords=coords, point_labels=signs)
    frames = []
    start = time.perf_counter()
    for _ in session.propagate(0, repeats + 1, "forward"):
        now = time.perf_counter()
        frames.append(now - start)
        start = now
    # The first of each pays for what happens once.
    return Speed(
        size,
        1000 * median(encode[1:]),
        1000 * median(click[1:]),
        1 / median(frames[1:]),
    )
