"""A data set of two discs per image, and a model that fills its boxes."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from sam2_core.annotate import segmenter

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Folder with a.png, b.png and c.png, 60 x 40 pixels."""
    from discs import discs_image

    folder = tmp_path / "cells"
    folder.mkdir()
    for name in "abc":
        Image.fromarray(discs_image()).save(folder / f"{name}.png")
    return folder


class BoxFiller:
    """Stands in for ImagePredictor: the mask of a box is the box."""

    encoded = 0
    asked: list[np.ndarray]

    def __init__(self, model: object) -> None:
        self.model = model

    def set_image(self, image: np.ndarray) -> None:
        type(self).encoded += 1
        self._hw = image.shape[:2]

    def predict(self, box: np.ndarray, multimask_output: bool) -> Any:
        assert not multimask_output
        assert self._hw is not None
        type(self).asked.append(box)
        masks = np.zeros((len(box), 1, *self._hw), bool)
        for mask, (x0, y0, x1, y1) in zip(
            masks, np.round(box).astype(int), strict=True
        ):
            mask[0, y0 : y1 + 1, x0 : x1 + 1] = True
        return SimpleNamespace(masks=masks, scores=np.full((len(box), 1), 0.75))

    def reset(self) -> None:
        self._hw = None


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give it as `model=`; its `predictor` counts what was asked."""
    kind = type("Filler", (BoxFiller,), {"encoded": 0, "asked": []})
    monkeypatch.setattr(segmenter, "ImagePredictor", kind)
    return SimpleNamespace(config=SimpleNamespace(name="filler"), predictor=kind)


@pytest.fixture
def fake_package(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install modules that exist only for the test."""

    def install(name: str, **content: object) -> None:
        for part in (name.partition(".")[0], name):
            monkeypatch.setitem(sys.modules, part, SimpleNamespace(**content))

    return install
