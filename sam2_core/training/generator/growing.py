"""Colonies that grow: cells lengthen or bud, divide, and push each other away."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from sam2_core.training.generator.shapes import log_uniform, put, stroke_mask

if TYPE_CHECKING:
    from sam2_core.training.generator.shapes import Labels

Vector = npt.NDArray[np.float64]
GROWING_STYLES = {
    "rods": ("zernike",) * 2 + ("glow",) * 3 + ("fluorescence", "rims", "ring"),
    "yeasts": ("rims",) * 4 + ("zernike", "projection", "dic"),
}
SHARE_DRAWN = 0.93  # of the radius, so that neighbours keep a gap


@dataclass
class Capsule:
    """A round-ended rod, or a disc where its length is 0.

    Attributes
    ----------
    centre : (2,) float64
        (y, x) in pixels.
    heading : float
        Direction in radians, from +x towards +y.
    length : float
        Between the centres of its ends, in pixels.
    radius : float
        In pixels.
    limit : float
        Length (rods) or radius (yeasts) at which it divides or buds.
    number : int
        Label.
    moved : (2,) float64
        Way from its first place.
    """

    centre: Vector
    heading: float
    length: float
    radius: float
    limit: float
    number: int
    moved: Vector

    def spine(self, spacing: float) -> Vector:
        """Points along the axis, (N, 2), at most ``spacing`` apart."""
        count = int(np.ceil(self.length / spacing)) + 1
        steps = np.linspace(-0.5, 0.5, count) * self.length
        toward = np.array([np.sin(self.heading), np.cos(self.heading)])
        points: Vector = self.centre + steps[:, None] * toward
        return points


class Colony:
    """Some cells on a plane, growing frame by frame.

    Parameters
    ----------
    rng : numpy.random.Generator
    size : int
        Side of the image in pixels.
    kind : str
        ``"rods"`` or ``"yeasts"``.
    radius : float, optional
        Of the cells, in pixels; random by default.
    most : int
        Cells at the beginning, at most.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        size: int,
        kind: str,
        radius: float | None = None,
        most: int = 8,
    ) -> None:
        self.rng, self.size, self.kind = rng, size, kind
        usual = log_uniform(rng, 2.5, 14) if kind == "rods" else log_uniform(rng, 6, 20)
        self.radius = usual if radius is None else radius
        self.longest = self.radius * rng.uniform(5, 11) if kind == "rods" else 0.0
        # Doubling in 4 to 14 frames.
        self.rate = float(np.log(2) / rng.uniform(4, 14))
        self.turning = rng.uniform(0.01, 0.08)
        self.next_number = 1
        self.cells: list[Capsule] = []
        middles = rng.uniform(0.25, 0.75, (int(rng.integers(1, 4)), 2)) * size
        for _ in range(int(rng.integers(min(most, 2), most + 1))):
            middle = middles[rng.integers(len(middles))]
            self._add(middle + rng.normal(0, min(3 * self.radius, 0.1 * size), 2))
        for _ in range(int(rng.integers(0, 16))):
            self.grow()

    def _add(self, centre: Vector) -> None:
        rods = self.kind == "rods"
        share = float(self.rng.uniform(0.5, 0.95))
        self.cells.append(
            Capsule(
                centre,
                self.rng.uniform(0, 2 * np.pi),
                self.longest * share if rods else 0.0,
                self.radius if rods else self.radius * share,
                self._limit(),
                self._number(),
                np.zeros(2),
            )
        )

    def _limit(self) -> float:
        usual = self.longest if self.kind == "rods" else self.radius
        return float(usual * np.exp(self.rng.normal(0, 0.12)))

    def _number(self) -> int:
        self.next_number += 1
        return self.next_number - 1

    def grow(self) -> None:
        """Go on by one frame."""
        after = []
        for cell in self.cells:
            speed = self.rate * float(np.exp(self.rng.normal(0, 0.3)))
            if self.kind == "rods":
                cell.length = (cell.length + 2 * cell.radius) * np.exp(speed)
                cell.length -= 2 * cell.radius
                parts = self._divide(cell)
            else:
                cell.radius = min(cell.radius * np.exp(speed), cell.limit)
                parts = self._bud(cell)
            after += parts
        # A colony that has left the picture need not be followed.
        self.cells = [
            c for c in after if np.abs(c.centre / self.size - 0.5).max() < 0.9
        ]
        self._push()

    def _divide(self, cell: Capsule) -> list[Capsule]:
        if cell.length < cell.limit:
            return [cell]
        length = (cell.length - 2 * cell.radius) / 2
        toward = np.array([np.sin(cell.heading), np.cos(cell.heading)])
        return [
            replace(
                cell,
                centre=cell.centre + sign * toward * (length / 2 + cell.radius),
                heading=cell.heading + self.rng.normal(0, 0.05),
                length=length,
                limit=self._limit(),
                number=self._number(),
                moved=np.zeros(2),
            )
            for sign in (-1, 1)
        ]

    def _bud(self, cell: Capsule) -> list[Capsule]:
        ripe = cell.radius >= 0.8 * cell.limit
        if not ripe or self.rng.random() > 3 * self.rate:
            return [cell]
        angle = self.rng.uniform(0, 2 * np.pi)
        radius = cell.radius * self.rng.uniform(0.25, 0.4)
        apart = np.array([np.sin(angle), np.cos(angle)]) * (cell.radius + radius)
        bud = replace(
            cell,
            centre=cell.centre + apart,
            radius=radius,
            limit=self._limit(),
            number=self._number(),
            moved=np.zeros(2),
        )
        return [cell, bud]

    def _push(self, rounds: int = 12) -> None:
        """Move and turn cells until they hardly overlap."""
        before = [cell.centre.copy() for cell in self.cells]
        for cell in self.cells:
            cell.heading += self.rng.normal(0, self.turning)
        for _ in range(rounds):
            spines = [cell.spine(self.radius) for cell in self.cells]
            owner = np.repeat(np.arange(len(spines)), [len(s) for s in spines])
            if not len(owner):
                return
            points = np.concatenate(spines)
            radii = np.array([c.radius for c in self.cells])[owner]
            pairs = cKDTree(points).query_pairs(2 * radii.max(), output_type="ndarray")
            pairs = pairs[owner[pairs[:, 0]] != owner[pairs[:, 1]]]
            gap = points[pairs[:, 0]] - points[pairs[:, 1]]
            far = np.sqrt((gap**2).sum(1)) + 1e-6
            depth = np.clip(radii[pairs].sum(1) - far, 0, None)
            force = gap / far[:, None] * depth[:, None] * 0.5
            push = np.zeros_like(points)
            np.add.at(push, pairs[:, 0], force)
            np.add.at(push, pairs[:, 1], -force)
            touched = np.bincount(pairs[depth > 0].ravel(), minlength=len(points))
            for index, cell in enumerate(self.cells):
                own = owner == index
                share = push[own] / max(int((touched[own] > 0).sum()), 1)
                arm = points[own] - cell.centre
                cell.centre = cell.centre + share.sum(0)
                torque = (arm[:, 1] * share[:, 0] - arm[:, 0] * share[:, 1]).sum()
                inertia = (arm**2).sum() / len(arm) + cell.radius**2
                cell.heading += float(np.clip(torque / inertia, -0.2, 0.2))
        for cell, place in zip(self.cells, before, strict=True):
            cell.moved = cell.moved + cell.centre - place

    def draw(self, shift: Vector) -> Labels:
        """Label image of this frame, moved by ``shift`` (y, x) pixels."""
        labels = np.zeros((self.size, self.size), np.int32)
        for cell in self.cells:
            path = cell.spine(1.0) + shift
            radii = np.full(len(path), cell.radius * SHARE_DRAWN)
            window, mask = stroke_mask(path, radii, self.size)
            put(labels, window, mask, cell.number, 0.7)
        return labels


def microcolony(rng: np.random.Generator, size: int) -> Labels:
    """A few large bacteria: alone, in pairs, chains and small groups."""
    founders = int(rng.choice([1, 2, 4], p=[0.6, 0.25, 0.15]))
    colony = Colony(rng, size, "rods", log_uniform(rng, 4, 22), founders)
    return colony.draw(np.zeros(2))
