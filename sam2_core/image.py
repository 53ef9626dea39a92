"""Prompts on one image: encode it once, predict as often as you like."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sam2_core import transforms
from sam2_core.errors import ImageError, PromptError
from sam2_core.inference import inference
from sam2_core.intensity import to_rgb8
from sam2_core.nn.mask_decoder import (
    DecodedMasks,
    ambiguous_masks,
    clear_mask,
    joined_prompts,
)
from sam2_core.prompts import SparsePrompt, mask_logits_prompt, sparse_prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from sam2_core.closeups.answers import Answer
    from sam2_core.closeups.closeups import CloseUps
    from sam2_core.nn.sam2 import ImageFeatures, Sam2

MAX_LOGIT = 32.0
# More prompts are decoded in several goes, so that memory stays small.
PROMPTS_AT_ONCE = 32


@dataclass(frozen=True)
class Prediction:
    """Masks for one prompt (C of them), or for B prompts with a leading axis B.

    Attributes
    ----------
    masks : ndarray
        (C, H, W) bool, at the size of the image; C is 3 with ``multimask_output``.
    scores : ndarray
        (C,) float32, the model's estimate of each mask's IoU, 0 to 1.
    logits : ndarray
        (C, h, w) float32 low-resolution logits within +-32; one of them, (1, h, w),
        serves as ``mask_input`` of the next prediction.
    """

    masks: NDArray[np.bool_]
    scores: NDArray[np.float32]
    logits: NDArray[np.float32]


class ImagePredictor:
    """Turns points, boxes and earlier masks on one image into masks.

    Parameters
    ----------
    model : Sam2
        From :func:`sam2_core.load_model`.
    """

    def __init__(self, model: Sam2) -> None:
        self.model = model
        self.reset()

    def reset(self) -> None:
        """Forget the image."""
        self._hw: tuple[int, int] | None = None
        self._encoded: ImageFeatures | None = None
        self._closeups: CloseUps | None = None

    @property
    def is_image_set(self) -> bool:
        """Whether :meth:`set_image` has been called."""
        return self._hw is not None

    @property
    def image_hw(self) -> tuple[int, int]:
        """Height and width of the image."""
        if self._hw is None:
            raise ImageError("No image is set: call set_image first.")
        return self._hw

    @property
    def _features(self) -> ImageFeatures:
        """Of the whole image; models with close-ups seldom need them."""
        if self._encoded is None:
            assert self._closeups is not None
            self._encoded = encode_picture(self.model, self._closeups)
        return self._encoded

    def set_image(
        self, image: ArrayLike, value_range: tuple[float, float] | None = None
    ) -> None:
        """Encode an image; the slow step.

        The bundled model answers prompts in windows around the objects, and encodes the
        whole image only when something else is asked of it.

        Parameters
        ----------
        image : array_like
            (H, W) grey or (H, W, 3) colour, any numeric dtype.
        value_range : tuple of float, optional
            Intensities to show as black and white. By default uint8 colour is taken as
            it is and anything else is stretched between robust percentiles.

        Raises
        ------
        ImageError
            If this is no image.
        InferenceError
            If the model cannot run.
        """
        rgb = to_rgb8(image, value_range)
        from sam2_core.closeups.closeups import CloseUps

        self.reset()
        with inference():
            if self.model.closeup is None:
                self._encoded = encode(self.model, rgb)
            else:
                self._closeups = CloseUps(self.model.closeup, rgb)
        self._hw = rgb.shape[0], rgb.shape[1]

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = True,
    ) -> Prediction:
        """Masks for the prompts of one object, or of B objects at once.

        Parameters
        ----------
        point_coords : array_like, optional
            (N, 2) points, x then y, in pixels; integers are pixel centres.
        point_labels : array_like, optional
            (N,) labels, 1 positive, 0 negative; all positive by default.
        box : array_like, optional
            (4,) box x0, y0, x1, y1 in pixels.
        mask_input : array_like, optional
            (1, h, w) logits from an earlier prediction of the same object; refined if
            nothing else is given.
        multimask_output : bool
            Three masks, for a prompt that may mean several things (one click), or the
            single best for a clear prompt (a box, several clicks).

        Returns
        -------
        Prediction
            Arrays as described there. If any prompt comes with a leading axis B
            (points (B, N, 2) with labels (B, N), box (B, 4), mask_input (B, 1, h, w)),
            so do the results.

        Raises
        ------
        PromptError
            If there is no prompt or one is malformed or outside the image.
        ImageError
            If no image is set.
        InferenceError
            If the model cannot run.
        """
        hw = self.image_hw
        prompt = sparse_prompt(point_coords, point_labels, box, hw)
        previous = None
        if mask_input is not None:
            previous = mask_logits_prompt(mask_input, self.model.config.low_res_size)
        if prompt is None and previous is None:
            raise PromptError("There is no prompt: give a point, a box or a mask.")
        batched = (
            np.ndim(_or_empty(point_coords)) == 3
            or np.ndim(_or_empty(box)) == 2
            or np.ndim(_or_empty(mask_input)) == 4
        )
        with inference():
            if self._closeups is not None:
                prediction = self._close(prompt, previous, multimask_output)
            else:
                prediction = self._predict(prompt, previous, multimask_output)
        if batched:
            return prediction
        return Prediction(
            prediction.masks[0], prediction.scores[0], prediction.logits[0]
        )

    def _predict(
        self,
        prompt: SparsePrompt | None,
        previous: NDArray[np.float32] | None,
        multimask_output: bool,
    ) -> Prediction:
        """What the network itself says of B prompts."""
        decoded = self.decode(prompt, previous, multimask_output)
        masks = torch.cat(
            [
                transforms.logits_to_image(logits, self.image_hw) > 0
                for logits in torch.split(decoded.logits, PROMPTS_AT_ONCE)
            ]
        )
        low_res = decoded.logits.clamp(-MAX_LOGIT, MAX_LOGIT)
        return Prediction(
            masks.cpu().numpy(), decoded.iou.cpu().numpy(), low_res.cpu().numpy()
        )

    def _close(
        self,
        prompt: SparsePrompt | None,
        previous: NDArray[np.float32] | None,
        multimask_output: bool,
    ) -> Prediction:
        """What close-ups say of B prompts; the whole image where they cannot."""
        assert self._closeups is not None
        count = 3 if multimask_output else 1
        size = self.model.config.low_res_size
        rows = []
        for alone, earlier, answers in self._closeups.each(prompt, previous):
            if not answers:
                rows.append(self._predict(alone, earlier, multimask_output))
                continue
            found = answered(self._closeups, answers, count, size)
            rows.append(
                Prediction(found.masks[None], found.scores[None], found.logits[None])
            )
        if len(rows) == 1:
            return rows[0]
        return Prediction(
            *(
                np.concatenate([getattr(row, name) for row in rows])
                for name in ("masks", "scores", "logits")
            )
        )

    def decode(
        self,
        prompt: SparsePrompt | None,
        mask_logits: NDArray[np.float32] | None,
        multimask_output: bool,
    ) -> DecodedMasks:
        """Low-resolution masks of checked prompts, tensors on the model's device.

        Parameters
        ----------
        prompt : SparsePrompt, optional
            Points and boxes in image pixels.
        mask_logits : ndarray, optional
            (B, 1, h, w) earlier logits.
        multimask_output : bool
            Three masks instead of one.

        Returns
        -------
        DecodedMasks
            float32, logits not clamped.
        """
        point_xy = labels = None
        if prompt is not None:
            scaled = transforms.points_to_input(
                prompt.point_xy, self.image_hw, self.model.config.image_size
            )
            point_xy = torch.from_numpy(scaled)
            labels = torch.from_numpy(np.array(prompt.labels))
        previous = None if mask_logits is None else torch.from_numpy(mask_logits)
        return decode(
            self.model, self._features, point_xy, labels, previous, multimask_output
        )


def encode(model: Sam2, image: NDArray[Any]) -> ImageFeatures:
    """Features of an (H, W, 3) image, uint8 or float in [0, 1]."""
    pixels = transforms.image_to_input(image, model.config.image_size, model.device)
    return model.encode_image(pixels)


def encode_picture(model: Sam2, closeups: CloseUps) -> ImageFeatures:
    """Features of the image that close-ups are taken of."""
    height, width = closeups.hw
    picture = closeups.image[:, 0:height, 0:width]
    return encode(model, picture.permute(1, 2, 0).cpu().numpy())


def decode(
    model: Sam2,
    features: ImageFeatures,
    point_xy: Tensor | None,
    labels: Tensor | None,
    mask_logits: Tensor | None,
    multimask_output: bool,
) -> DecodedMasks:
    """Masks on an image by itself, with nothing remembered.

    Parameters
    ----------
    model : Sam2
        The network.
    features : ImageFeatures
        Of one image.
    point_xy, labels : Tensor, optional
        (B, N, 2) in pixels of the network input and (B, N).
    mask_logits : Tensor, optional
        (B or 1, 1, h, w) earlier logits.
    multimask_output : bool
        The three masks for ambiguous prompts instead of the one for clear prompts.

    Returns
    -------
    DecodedMasks
        With 3 or 1 masks per prompt, float32.
    """
    device = model.device
    embedding = model.without_memory(features)
    rows = [x for x in (point_xy, labels, mask_logits) if x is not None]
    count = max((len(x) for x in rows), default=1)
    parts = []
    for first in range(0, count, PROMPTS_AT_ONCE):
        part = (
            # One mask for all prompts goes along with each part.
            None if x is None else (x if len(x) == 1 else x[first:][:PROMPTS_AT_ONCE])
            for x in (point_xy, labels, mask_logits)
        )
        xy, flags, earlier = (None if x is None else x.to(device) for x in part)
        decoded = model.decode_masks(
            embedding, features.high_res, xy, flags, earlier, guide=features.guide
        )
        parts.append(select_masks(model, decoded, multimask_output))
    found = joined_prompts(parts)
    return replace(
        found,
        logits=found.logits.float(),
        iou=found.iou.float(),
        object_score=found.object_score.float(),
    )


def select_masks(
    model: Sam2, decoded: DecodedMasks, multimask_output: bool
) -> DecodedMasks:
    """The three ambiguous masks, or the clear one with its fall-back."""
    if multimask_output:
        return ambiguous_masks(decoded)
    config = model.config
    return clear_mask(decoded, config.stability_delta, config.stability_threshold)


def _or_empty(value: ArrayLike | None) -> ArrayLike:
    return () if value is None else value


def candidates(answers: Sequence[Answer], count: int) -> list[Answer]:
    """The first so many answers; where there are fewer, the last one again."""
    return [*answers, *[answers[-1]] * count][:count]


def answered(
    closeups: CloseUps, answers: Sequence[Answer], count: int, size: int
) -> Prediction:
    """The best answers to one prompt as masks of the whole image.

    Parameters
    ----------
    closeups : CloseUps
        Of the image.
    answers : sequence of Answer
        At least one, best first.
    count : int
        So many are returned; where there are fewer, the last one stands for the others.
    size : int
        Side of the low-resolution logits.
    """
    shown = candidates(answers, count)
    masks = np.empty((count, *closeups.hw), bool)
    logits = np.empty((count, size, size), np.float32)
    for i, answer in enumerate(shown):
        drawn, logits[i] = closeups.hand_out(answer, size)
        masks[i] = (drawn > 0).cpu().numpy()
        del drawn  # of a large image, one is a lot
    scores = np.array([answer.score for answer in shown], np.float32)
    return Prediction(masks, scores, logits)
