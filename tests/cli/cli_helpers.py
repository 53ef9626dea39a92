"""A command line that runs in this process, and an engine that needs no weights."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from napari_sam2.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest


@dataclass
class Done:
    code: int
    out: str
    err: str


def run(capfd: pytest.CaptureFixture[str], *arguments: object) -> Done:
    code = main([str(a) for a in arguments])
    out, err = capfd.readouterr()
    return Done(code, out, err)


def assert_one_line_error(done: Done, *words: str) -> None:
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("napari-sam2: error: ")
    assert done.err.count("\n") == 1
    assert done.err.endswith("\n")
    for word in words:
        assert word in done.err


def fake_mask(
    shape: tuple[int, int], coords: Any, labels: Any, box: Any
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """The box, else a square of 5 x 5 around each positive point."""
    mask = np.zeros(shape, bool)
    if box is not None:
        x0, y0, x1, y1 = (int(v) for v in box)
        mask[y0:y1, x0:x1] = True
        return mask
    for (x, y), label in zip(np.asarray(coords, int), labels, strict=True):
        if label == 1:
            mask[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3] = True
    return mask


@dataclass
class FakeEngine:
    """Stands in for load_model, ImagePredictor and VideoSession."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    images: list[Any] = field(default_factory=list)
    presets: list[str | None] = field(default_factory=list)
    scopes: list[str] = field(default_factory=list)
    spills: list[Any] = field(default_factory=list)
    compiled: list[bool] = field(default_factory=list)
    fail_at: int | None = None

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put the fakes where the commands import the real ones from."""
        for module, name in (
            ("models", "load_model"),
            ("image", "ImagePredictor"),
            ("video", "VideoSession"),
        ):
            fake = SimpleNamespace(**{name: getattr(self, name)})
            monkeypatch.setitem(sys.modules, f"sam2_core.{module}", fake)

    def load_model(self, *arguments: str, compile: bool = False) -> Any:
        self.compiled.append(compile)
        self.calls.append(("load", *arguments))
        return SimpleNamespace(device="cpu", config=SimpleNamespace(name="fake"))

    def ImagePredictor(self, model: object) -> Any:
        def set_image(image: Any) -> None:
            self.images.append(image)

        def predict(
            point_coords: Any = None,
            point_labels: Any = None,
            box: Any = None,
            multimask_output: bool = True,
        ) -> Any:
            self.calls.append(
                ("predict", point_coords, point_labels, box, multimask_output)
            )
            mask = fake_mask(self.images[-1].shape[:2], point_coords, point_labels, box)
            if not multimask_output:
                return SimpleNamespace(masks=mask[None], scores=np.array([0.5]))
            # Only the second of the three is the right one, and has the best score.
            return SimpleNamespace(
                masks=np.stack([~mask, mask, ~mask]), scores=np.array([0.2, 0.9, 0.3])
            )

        return SimpleNamespace(set_image=set_image, predict=predict)

    def VideoSession(
        self,
        model: object,
        frames: Any,
        preset: str | None = None,
        scope: str = "global",
        spill: Any = None,
    ) -> Any:
        self.presets.append(preset)
        self.scopes.append(scope)
        self.spills.append(spill)
        masks: dict[int, Any] = {}
        prompted: list[int] = []

        def add_prompts(
            frame_index: int,
            object_id: int,
            point_coords: Any = None,
            point_labels: Any = None,
            box: Any = None,
            shown: Any = None,
        ) -> Any:
            self.calls.append(
                ("prompt", frame_index, object_id, point_coords, point_labels, box)
            )
            masks[object_id] = fake_mask(frames.shape, point_coords, point_labels, box)
            prompted.append(frame_index)
            return SimpleNamespace(frame_index=frame_index, masks=dict(masks))

        def propagate(
            start: int | None = None,
            stop: int | None = None,
            direction: str = "both",
            around: int | None = None,
            ended: Any = None,
            absent: Any = None,
            passed: bool = False,
        ) -> Iterator[Any]:
            self.calls.append(("propagate", start, stop, direction))
            first, last = start or 0, len(frames) - 1 if stop is None else stop
            forward = range(max(first, min(prompted)), last + 1)
            backward = range(min(last, min(prompted)), first - 1, -1)
            order = {
                "forward": [*forward],
                "backward": [*backward],
                "both": [*forward, *backward],
            }[direction]
            for count, index in enumerate(order):
                if count == self.fail_at:
                    raise KeyboardInterrupt
                frames.frame(index)
                reverse = index < min(prompted)
                yield SimpleNamespace(
                    frame_index=index, masks=dict(masks), scores={}, reverse=reverse
                )

        return SimpleNamespace(add_prompts=add_prompts, propagate=propagate)

    def named(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]


SHAPE = (30, 40)


def square(x: int, y: int) -> np.ndarray:
    return fake_mask(SHAPE, [(x, y)], [1], None)


def write_noise(path: Path, shape: tuple[int, ...], seed: int = 0) -> Path:
    """Write a grey image or stack, uint16, and return where it is."""
    values = np.random.default_rng(seed).integers(100, 4000, shape, np.uint16)
    tifffile.imwrite(path, values, photometric="minisblack")
    return path
