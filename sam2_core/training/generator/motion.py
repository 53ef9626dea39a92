"""Bodies that move, deform and divide from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sam2_core.training.generator.shapes import log_uniform, random_radii


@dataclass
class Body:
    """An object that moves and changes shape over the frames of a time-lapse.

    Attributes
    ----------
    centre, velocity : (2,) float64
        (y, x) in pixels, and per frame.
    shapes : (2, 256) float64
        Outlines between which it swings.
    turn : float
        Rotation per frame, in 1/256 of a full turn.
    phase, pace : float
        Of the swing.
    number : int
        Label.
    angle : float
        Rotation so far.
    moved : (2,) float64
        Way from its first place, which its texture follows.
    hidden : int
        Frames for which it stays invisible.
    """

    centre: npt.NDArray[np.float64]
    velocity: npt.NDArray[np.float64]
    shapes: npt.NDArray[np.float64]
    turn: float
    phase: float
    pace: float
    number: int
    angle: float = 0.0
    moved: npt.NDArray[np.float64] | None = None
    hidden: int = 0

    def outline(self) -> npt.NDArray[np.float64]:
        """Radius by direction in this frame."""
        share = 0.5 + 0.5 * np.sin(self.phase)
        mixed = share * self.shapes[0] + (1 - share) * self.shapes[1]
        return np.roll(mixed, round(self.angle))


def population(rng: np.random.Generator, size: int) -> tuple[list[Body], int]:
    """Draw alike bodies for a frame of ``size`` pixels, and the next free label."""
    radius = log_uniform(rng, 5, 32)
    rods, spiky = rng.random() < 0.3, rng.random() < 0.4
    full = size * size / (np.pi * radius**2)
    count = int(np.clip(full * log_uniform(rng, 0.08, 0.8), 2, 120))
    speed = radius * rng.uniform(0.02, 0.35)
    drift = rng.normal(0, 0.3, 2) * speed
    spin = rng.choice([0.5, 3.0])
    bodies = []
    for number in range(1, count + 1):
        r = radius * np.exp(rng.normal(0, 0.2))
        if rods:
            shapes = np.stack([_rod(r, rng.uniform(2, 4))] * 2) * [[1.0], [1.1]]
            shapes = np.roll(shapes, int(rng.integers(256)), 1)
        else:
            spikes = int(rng.integers(0, 4)) if spiky else 0
            stretch, wave = rng.uniform(1, 1.8), 0.15 if spiky else 0.07
            first = random_radii(rng, r, stretch, wave, spikes)
            change = random_radii(rng, 1.0, 1.0 + 0.3 * spiky, wave)
            shapes = np.stack([first, first * change])
        body = Body(
            rng.uniform(-radius, size + radius, 2),
            rng.normal(0, speed, 2) + drift,
            shapes,
            rng.normal(0, spin),
            rng.uniform(0, 2 * np.pi),
            rng.uniform(0.1, 0.6),
            number,
        )
        body.moved = np.zeros(2)
        bodies.append(body)
    return bodies, count + 1


def _rod(radius: float, elongation: float) -> npt.NDArray[np.float64]:
    angle = np.arange(256) * (2 * np.pi / 256)
    root = np.sqrt(elongation)
    sides = np.abs(np.cos(angle) / root) ** 4 + np.abs(np.sin(angle) * root) ** 4
    outline: npt.NDArray[np.float64] = radius * sides**-0.25
    return outline


def advance(
    rng: np.random.Generator,
    bodies: list[Body],
    next_number: int,
    speed_change: float,
    division: float,
) -> tuple[list[Body], int]:
    """Move, turn and divide bodies by one frame.

    Parameters
    ----------
    rng : numpy.random.Generator
    bodies : list of Body
        Changed in place.
    next_number : int
        Label of the next daughter.
    speed_change : float
        Random part of the velocity.
    division : float
        Chance of each body to divide.

    Returns
    -------
    list of Body, int
        The bodies of the next frame and the next free label.
    """
    after = []
    for body in bodies:
        speed = float(np.linalg.norm(body.velocity)) + 0.1
        velocity = body.velocity + rng.normal(0, speed * speed_change, 2)
        velocity *= min(1.0, 1.5 * speed / (float(np.linalg.norm(velocity)) + 1e-6))
        if rng.random() < division:
            reach = float(body.shapes.mean())
            angle = rng.uniform(0, 2 * np.pi)
            apart = np.array([np.sin(angle), np.cos(angle)]) * reach * 0.75
            for sign in (-1, 1):
                child = replace(
                    body,
                    centre=body.centre + sign * apart,
                    velocity=velocity * 0.5 + sign * apart * 0.15,
                    shapes=body.shapes * 0.72,
                    number=next_number,
                    moved=np.zeros(2),
                )
                next_number += 1
                after.append(child)
            continue
        body.velocity = velocity
        body.centre = body.centre + velocity
        if body.moved is not None:
            body.moved = body.moved + velocity
        body.angle += body.turn
        body.phase += body.pace
        after.append(body)
    return after, next_number
