"""Calls as scripts make them, to be answered by the original `sam2` and by ours.

Frames are tiny, wide or tall, the network's input is 256, and prompts come late, are
taken back, or come in every shape a script may give them. `record_replays.py` keeps
what the original answers; `test_compat_replays.py` asks ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

SIZE = 256  # of the network's input
OPTIONS = (f"++model.image_size={SIZE}",)
FOLDER = Path(__file__).parents[1] / "data" / "replays"


@dataclass
class Player:
    """Plays a log: what to build with, where frames go, and what came out.

    ``image`` and ``video`` make predictors of a seed of the weights.
    """

    image: Any
    video: Any
    folder: Path
    kept: dict[str, np.ndarray] = field(default_factory=dict)

    def frames(self, frames: np.ndarray, name: str = "{:05d}.jpg") -> str:
        """A folder of frames; the original lists only .jpg, and Pillow reads any."""
        self.folder.mkdir()
        for i, frame in enumerate(frames):
            Image.fromarray(frame).save(self.folder / name.format(i), format="PNG")
        return str(self.folder)

    def shown(self, name: str, output: Any) -> None:
        """Keep what a call of the video predictor gave: frame, ids and logits."""
        frame, ids, logits = output
        assert isinstance(logits, torch.Tensor)
        logits = logits.float().cpu().numpy()
        self.kept[f"{name}.frame"] = np.array(frame)
        self.kept[f"{name}.ids"] = np.array(ids)
        self.kept[f"{name}.bits"] = np.packbits(logits > 0)
        self.kept[f"{name}.logits"] = logits[..., ::8, ::8].astype(np.float16)

    def propagated(self, name: str, predictor: Any, state: Any, **options: Any) -> None:
        """Keep every frame of a propagation, in its order."""
        found = predictor.propagate_in_video(state, **options)
        for place, output in enumerate(found):
            self.shown(f"{name}.{place}", output)

    def predicted(self, name: str, output: Any) -> None:
        """Keep masks, scores and low-resolution logits of the image predictor."""
        masks, scores, low = output
        assert masks.dtype == np.float32
        self.kept[f"{name}.shape"] = np.array(masks.shape)
        self.kept[f"{name}.bits"] = np.packbits(masks > 0)
        self.kept[f"{name}.scores"] = scores
        self.kept[f"{name}.logits"] = low[..., ::4, ::4].astype(np.float16)


def scene(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """(count, height, width, 3) uint8: three discs drift over noise."""
    rng = np.random.default_rng(seed)
    noise = (rng.random((height, width, 3)) * 60).astype(np.uint8)
    y, x = np.mgrid[:height, :width]
    frames = np.repeat(noise[None], count, axis=0)
    colours = ((230, 40, 60), (40, 220, 90), (70, 90, 240))
    for t, frame in enumerate(frames):
        for k, colour in enumerate(colours):
            centre_x = width * (0.2 + 0.25 * k) + t * width * 0.03
            centre_y = height * (0.3 + 0.2 * k)
            radius = min(height, width) * (0.12 + 0.03 * k)
            disc = (x - centre_x) ** 2 + (y - centre_y) ** 2 < radius**2
            frame[disc] = colour
    return frames


def late_prompts(play: Player) -> None:
    """Prompts after propagation, a cleared frame, objects removed to the last."""
    predictor = play.video(seed=0)
    state = predictor.init_state(
        play.frames(scene(5, 37, 101)),
        offload_video_to_cpu=True,
        offload_state_to_cpu=True,
    )
    click = predictor.add_new_points_or_box
    play.shown("first", click(state, 0, 1, points=[[20, 11]], labels=[1]))
    points = np.array([[50, 18], [3, 3]], np.float32)
    play.shown("other", click(state, 2, 7, points=points, labels=np.array([1, 0])))
    play.propagated("all", predictor, state)
    for i, (xy, label) in enumerate((((29.5, 10.25), 0), ((28, 12), 1))):
        output = click(state, 3, 1, points=[xy], labels=[label], clear_old_points=False)
        play.shown(f"late{i}", output)
    play.propagated("back", predictor, state, start_frame_idx=3, reverse=True)
    play.shown("cleared", predictor.clear_all_prompts_in_frame(state, 2, 7))
    ids, updated = predictor.remove_object(state, 7)
    assert (ids, len(updated)) == ([1], 0)
    assert predictor.remove_object(state, 1) == ([], [])
    assert state["obj_ids"] == []
    play.shown("again", click(state, 4, 3, points=[[80, 27]], labels=[1]))
    play.propagated("anew", predictor, state, reverse=True)


def masks_and_points(play: Player) -> None:
    """Mask prompts of several types and sizes, points on top, objects removed."""
    predictor = play.video(seed=0)
    state = predictor.init_state(play.frames(scene(5, 120, 200, 2), "{:03d}.JPG"))
    mask = np.zeros((120, 200), bool)
    mask[20:60, 30:80] = True
    small = np.zeros((50, 41), bool)
    small[10:30, 5:20] = True
    prompt = predictor.add_new_mask
    play.shown("array", prompt(state, 0, 1, mask))
    play.shown("tensor", prompt(state, 0, 2, torch.from_numpy(mask[::-1].copy())))
    play.shown("small", prompt(state, 1, 3, small))
    play.shown("empty", prompt(state, 2, 4, np.zeros_like(mask)))
    play.propagated("all", predictor, state)
    play.shown(
        "point",
        predictor.add_new_points_or_box(
            state, 0, 1, points=[[50, 40]], labels=[0], clear_old_points=False
        ),
    )
    play.propagated("with point", predictor, state)
    play.shown("instead", prompt(state, 0, 1, ~mask))
    play.shown("late", prompt(state, 3, 2, mask))
    play.propagated("with masks", predictor, state)
    ids, updated = predictor.remove_object(state, 4)
    for frame, logits in updated:
        play.shown(f"left{frame}", (frame, ids, logits))
    assert predictor.remove_object(state, 1, need_output=False) == ([2, 3], [])
    assert predictor.remove_object(state, 77) == ([2, 3], [])
    play.propagated("two left", predictor, state, start_frame_idx=2)
    predictor.reset_state(state)
    play.shown("after", prompt(state, 4, 2, torch.from_numpy(mask)))
    play.propagated("back", predictor, state, reverse=True)


def prompts_of_images(play: Player) -> None:
    """Every shape that prompts of the image predictor may have."""
    predictor = play.image(seed=1)
    predictor.set_image(scene(1, 100, 160)[0])
    xy, label = np.array([[40, 30]]), np.array([1])
    pair, labels = np.array([[[40, 30]], [[70, 50]]]), np.array([[1], [1]])
    boxes = np.array([[10, 10, 60, 60], [50, 20, 140, 90]])
    keep, ask = play.predicted, predictor.predict
    first = ask(xy, label, return_logits=True)
    keep("integers", ask(xy, label))
    keep("fractions", ask(np.array([[40.5, 30.25]]), np.array([1.0])))
    keep("lists", ask([[40, 30]], [1]))
    keep("batch", ask(pair, np.array([[1], [0]]), multimask_output=False))
    keep("boxes", ask(box=boxes, multimask_output=False))
    keep("one box", ask(box=boxes[:1]))
    keep("both", ask(pair, labels, boxes))
    keep("logits", first)
    keep("mask", ask(mask_input=first[2][:1]))
    keep("corrected", ask(xy, label, None, first[2][None, 1:2], False))
    keep("masks", ask(pair, labels, None, first[2][:2, None], False))
    keep("nothing", ask())
    keep("labels alone", ask(None, label))
    keep("parts", ask([[0.25, 0.3]], [1], normalize_coords=False))
    keep("outside", ask([[-40, 300]], [1]))
    keep("padded", ask([[40, 30], [0, 0]], [1, -1]))
    keep("corners", ask([[10, 10], [60, 60]], [2, 3]))
    keep("turned round", ask(box=[60, 60, 10, 10]))
    keep("many", ask(np.arange(40).reshape(20, 2) * 2.0, np.arange(20) % 2))


def batches_of_images(play: Player) -> None:
    """Images of different sizes at once, then the calls for one."""
    predictor = play.image(seed=2)
    sizes = ((40, 90), (128, 64), (200, 200))
    images = [scene(1, *hw, seed)[0] for seed, hw in enumerate(sizes)]
    predictor.set_image_batch(images)
    points = [np.array(xy) for xy in ([[20, 12]], [[20, 30], [4, 4]], [[60, 60]])]
    signs = [np.array(flags) for flags in ([1], [1, 0], [1])]
    boxes = [[[1, 1, 30, 30], [5, 5, 60, 38]], [4, 4, 50, 100], [[0, 0, 199, 199]]]
    boxes = [np.array(box) for box in boxes]

    def batch(name: str, *prompts: Any, **options: Any) -> None:
        found = predictor.predict_batch(*prompts, **options)
        for i, output in enumerate(zip(*found, strict=True)):
            play.predicted(f"{name}.{i}", output)

    batch("points", points, signs)
    batch("boxes", box_batch=boxes, multimask_output=False)
    batch("none")
    play.predicted("last", predictor.predict(points[0], signs[0]))
    predictor.set_image(images[0])
    play.predicted("alone", predictor.predict(points[0], signs[0]))


LOGS = {
    log.__name__: log
    for log in (late_prompts, masks_and_points, prompts_of_images, batches_of_images)
}
