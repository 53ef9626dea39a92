"""Engines that run the same network, each behind the same few calls.

The weights are the same for all: those of a trained model, or random ones (speed does
not depend on what weights are worth).
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import io
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torchvision_stub import make_importable
from transformers_opponent import Transformers

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from sam2_core.nn.sam2 import Sam2

HERE = str(Path(__file__).parent)
if HERE in sys.path:  # after all packages: `click` is a benchmark here, and one of them
    sys.path.remove(HERE)
    sys.path.append(HERE)

CONFIGS = {
    f"sam2.1_hiera_{size}": f"configs/sam2.1/sam2.1_hiera_{short}.yaml"
    for size, short in (
        ("tiny", "t"),
        ("small", "s"),
        ("base_plus", "b+"),
        ("large", "l"),
    )
}


def model(name: str, dtype: str, device: str = "cpu") -> Sam2:
    """Ours: the weights of a file, the bundled ones, or random ones."""
    from sam2_core.models import build_model, load_model
    from sam2_core.registry import CHECKPOINTS, is_available

    if name not in CHECKPOINTS or is_available(name):
        return load_model(name, device=device, dtype=dtype)
    torch.manual_seed(0)
    network = build_model(name).eval().requires_grad_(False)
    network = network.to(device, getattr(torch, dtype))
    network.sam_prompt_encoder.pe_layer.float()  # as load_model leaves it
    return network


class Ours:
    """sam2_core, the image and the stack side."""

    scope = "global"

    def __init__(
        self, name: str, dtype: str, device: str = "cpu", compiled: bool = False
    ) -> None:
        from sam2_core.compiling import compile_parts
        from sam2_core.image import ImagePredictor

        self.name = f"sam2_core {dtype}" + ", compiled" * compiled
        self.model = model(name, dtype, device)
        if compiled:
            compile_parts(self.model)
        self.predictor = ImagePredictor(self.model)

    def encode(self, image: np.ndarray) -> None:
        self.predictor.set_image(image)

    def click(self, xy: tuple[float, float]) -> None:
        self.predictor.predict([xy], [1])

    def boxes(self, boxes: np.ndarray) -> None:
        self.predictor.predict(box=boxes, multimask_output=False)

    def everything(self, image: np.ndarray, side: int) -> None:
        from sam2_core.automatic import AutomaticMaskGenerator

        AutomaticMaskGenerator(self.model, points_per_side=side).generate(image)

    def stored(self, frame: np.ndarray, length: int) -> Any:
        """A dask array whose frames, all alike, exist once they are asked for."""
        import dask.array as da

        blocks = ((1,) * length, *((side,) for side in frame.shape))
        return da.map_blocks(lambda: frame[None], chunks=blocks, dtype=frame.dtype)

    def first_mask(self, stored: Any, xy: tuple[float, float], follow: int = 0) -> None:
        """Open a stack, click on its first frame, and follow to further ones."""
        from sam2_core.video import VideoSession

        session = VideoSession(self.model, stored)
        session.add_prompts(0, 1, point_coords=[xy])
        if follow:
            for _ in session.propagate(stop=follow, direction="forward"):
                pass

    def propagate(
        self, frames: np.ndarray, clicks: list[tuple[float, float]]
    ) -> Iterator[int]:
        """Click on each object in frame 0 and go forward; yields after each frame."""
        from sam2_core.label_files import combine_masks
        from sam2_core.video import VideoSession

        session = VideoSession(self.model, frames, scope=self.scope)
        for i, xy in enumerate(clicks, start=1):
            session.add_prompts(0, i, point_coords=[xy], point_labels=[1])
        labels = np.zeros(frames.shape, np.uint16)
        for result in session.propagate(direction="forward"):
            t = result.frame_index
            labels[t] = combine_masks(result.masks, session.shape)
            yield t


class Local(Ours):
    """Follows each object in a window around it."""

    scope = "local"

    def __init__(self, name: str, dtype: str, side: float, device: str = "cpu") -> None:
        from sam2_core.cell_windows import Area
        from sam2_core.stacks import local_tracker

        super().__init__(name, dtype, device)
        self.name += " local"
        # Random weights draw no objects. So windows are those of objects as wide as
        # `side`, which is a part of the frame; where they are does not change the cost.
        grid = self.model.config.grid_size
        first, last = (0.5 - side / 2) * grid, (0.5 + side / 2) * grid
        area = Area(first, first, last, last)
        local_tracker.occupied = lambda logits: [area] * len(logits)


class Official:
    """The package sam2, with or without its bfloat16 autocast."""

    def __init__(
        self, name: str, dtype: str, device: str = "cpu", compiled: bool = False
    ) -> None:
        make_importable()
        from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
        from sam2.build_sam import build_sam2_video_predictor
        from sam2.sam2_image_predictor import SAM2ImagePredictor

        self.name = f"sam2 {dtype}" + ", compiled" * compiled
        self.device = device
        self.autocast = dtype == "bfloat16"
        self.network = build_sam2_video_predictor(
            CONFIGS[name], None, device=device, vos_optimized=compiled
        )
        self.network.load_state_dict(model(name, "float32").state_dict())
        self.predictor = SAM2ImagePredictor(self.network)
        self.generator = SAM2AutomaticMaskGenerator

    def running(self) -> contextlib.ExitStack:
        stack = contextlib.ExitStack()
        stack.enter_context(torch.inference_mode())
        stack.enter_context(
            torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.autocast)
        )
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        return stack

    def encode(self, image: np.ndarray) -> None:
        with self.running():
            self.predictor.set_image(image)

    def click(self, xy: tuple[float, float]) -> None:
        with self.running():
            self.predictor.predict(np.array([xy], np.float32), np.array([1]))

    def boxes(self, boxes: np.ndarray) -> None:
        with self.running():
            self.predictor.predict(box=boxes, multimask_output=False)

    def everything(self, image: np.ndarray, side: int) -> None:
        with self.running():
            self.generator(self.network, points_per_side=side).generate(image)

    def stored(self, frame: np.ndarray, length: int) -> str:
        """A folder of JPEG files, the only stack that the package reads."""
        folder = tempfile.mkdtemp(prefix="sam2_benchmark_")
        atexit.register(shutil.rmtree, folder)
        return write_jpegs(np.broadcast_to(frame, (length, *frame.shape)), folder)

    def first_mask(self, stored: str, xy: tuple[float, float], follow: int = 0) -> None:
        with self.running():
            state: Any = self.network.init_state(stored)
            self.network.add_new_points_or_box(
                state, 0, 1, np.array([xy], np.float32), np.array([1], np.int32)
            )
            if follow:
                steps = self.network.propagate_in_video(
                    state, max_frame_num_to_track=follow
                )
                for _ in steps:
                    pass

    def propagate(
        self, frames: np.ndarray, clicks: list[tuple[float, float]]
    ) -> Iterator[int]:
        labels = np.zeros(frames.shape, np.uint16)
        with tempfile.TemporaryDirectory() as folder, self.running():
            state: Any = self.network.init_state(write_jpegs(frames, folder))
            for i, xy in enumerate(clicks, start=1):
                self.network.add_new_points_or_box(
                    state, 0, i, np.array([xy], np.float32), np.array([1], np.int32)
                )
            for t, ids, logits in self.network.propagate_in_video(state):
                for i, plane in zip(ids, logits[:, 0], strict=True):
                    labels[t][(plane > 0).cpu().numpy()] = i
                yield t


def write_jpegs(frames: np.ndarray, folder: str) -> str:
    """A folder as Meta's package reads it; returns its name."""
    for t, frame in enumerate(frames):
        rgb = np.repeat(frame[..., None], 3, 2)
        Image.fromarray(rgb).save(Path(folder) / f"{t:05d}.jpg", quality=95)
    return folder


def entries(options: argparse.Namespace) -> tuple[list[Callable[[], Any]], list[str]]:
    """How to make each engine that can run, and why others cannot."""
    found: list[Callable[[], Any]] = [
        partial(Ours, options.model, dtype, options.device) for dtype in options.dtypes
    ]
    notes = []
    for package, kind in (("sam2", Official), ("transformers", Transformers)):
        if package in options.skip:
            notes.append(f"{package}: left out on request")
        elif importlib.util.find_spec(package) is None:
            notes.append(f"{package}: not installed")
        elif importlib.util.find_spec("torchvision") is None:
            notes.append(f"{package}: needs torchvision, which is not installed")
        elif options.model not in CONFIGS:
            notes.append(f"{package}: does not know {options.model}")
        elif kind is Official:
            found += [
                partial(kind, options.model, dtype, options.device)
                for dtype in options.dtypes
            ]
        elif options.device == "cpu":
            found += [partial(kind, options.model, dtype) for dtype in options.dtypes]
        else:
            notes.append(f"{package}: here on a CPU only")
    return found, notes


def contestants(options: argparse.Namespace) -> tuple[list[Any], list[str]]:
    """Whoever can run, ready, and why others cannot."""
    found, notes = entries(options)
    return [make() for make in found], notes
