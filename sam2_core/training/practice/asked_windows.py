"""Windows that a network was asked, kept in a file and drawn from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from sam2_core.nn.closeup import SIDE
from sam2_core.training.generator.synthetic import read_arrays, write_arrays
from sam2_core.training.practice.asked import Asked, AskedBatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

LARGE_SHARE = 0.5  # of large windows, which cost four times as much, as often as there


class AskedWindows(IterableDataset[AskedBatch]):
    """Endless batches, each of windows of one kind and size, turned at random.

    Parameters
    ----------
    kinds : sequence of sequence of Asked
        Of each kind as many batches are drawn, by what they cost.
    batch_size : int
        Windows of SIDE; of larger ones a batch has fewer.
    seed : int
    """

    def __init__(
        self, kinds: Sequence[Sequence[Asked]], batch_size: int, seed: int
    ) -> None:
        self.batch_size = batch_size
        self.seed = seed
        self._groups: list[list[Asked]] = []
        odds: list[float] = []
        for windows in kinds:
            sizes = sorted({len(window.target) for window in windows})
            groups = [[w for w in windows if len(w.target) == s] for s in sizes]
            costs = [
                len(group) * (LARGE_SHARE * (s // SIDE) ** 2 if s > SIDE else 1)
                for s, group in zip(sizes, groups, strict=True)
            ]
            self._groups += groups
            odds += [cost / sum(costs) for cost in costs]
        self._odds = np.array(odds) / sum(odds)

    def __iter__(self) -> Iterator[AskedBatch]:
        """Yield batches for ever."""
        worker = get_worker_info()
        rng = np.random.default_rng((self.seed, worker.id if worker else 0))
        while True:
            group = self._groups[rng.choice(len(self._groups), p=self._odds)]
            wide = len(group[0].target) // SIDE
            count = min(max(self.batch_size // wide**2, 1), len(group))
            rows = rng.choice(len(group), count, replace=False)
            yield AskedBatch.of([group[row] for row in rows], rng)


def save_asked(path: Path, windows: Sequence[Asked]) -> None:
    """Write windows to a file, which is there whole or not at all."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for size in {len(window.target) for window in windows}:
        some = [window for window in windows if len(window.target) == size]
        arrays |= {
            f"maps{size}": np.concatenate([window.maps for window in some]),
            f"channels{size}": np.concatenate([window.channels for window in some]),
            f"counts{size}": np.array([len(window.channels) for window in some]),
            f"targets{size}": np.packbits([window.target for window in some]),
            f"known{size}": np.packbits([window.known for window in some]),
            f"areas{size}": np.array([window.area for window in some]),
            f"kinds{size}": np.array([window.kind for window in some]),
            f"strangers{size}": np.array([window.stranger for window in some]),
        }
    write_arrays(path, arrays)


def read_asked(path: Path) -> list[Asked]:
    """Windows that :func:`save_asked` wrote, those of a size together.

    Raises
    ------
    ImageError
        The file is broken.
    """
    arrays = read_arrays(path)
    windows = []
    for size in sorted(int(k.removeprefix("maps")) for k in arrays if "maps" in k):
        of = {
            k.removesuffix(str(size)): v
            for k, v in arrays.items()
            if k.endswith(str(size))
        }
        n = len(of["counts"])
        ends = np.cumsum(of["counts"])[:-1]
        targets, known = (
            np.unpackbits(of[name], count=n * size**2).reshape(n, size, size) > 0
            for name in ("targets", "known")
        )
        parts = zip(
            np.split(of["maps"], ends),
            np.split(of["channels"], ends),
            targets,
            known,
            of["areas"].tolist(),
            of["kinds"].tolist(),
            of["strangers"].tolist(),
            strict=True,
        )
        windows += [Asked(*part) for part in parts]
    return windows
