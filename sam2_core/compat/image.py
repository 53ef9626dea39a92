"""``SAM2ImagePredictor`` with the calls of the ``sam2`` package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from sam2_core import transforms
from sam2_core.closeups.closeups import CloseUps
from sam2_core.errors import ImageError, PromptError
from sam2_core.image import MAX_LOGIT, candidates, decode, encode, encode_picture
from sam2_core.inference import inference
from sam2_core.intensity import to_rgb8
from sam2_core.masks import fill_holes, remove_specks
from sam2_core.prompts import SparsePrompt, mask_logits_prompt, sparse_prompt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sam2_core.closeups.answers import Answer
    from sam2_core.nn.sam2 import ImageFeatures, Sam2

Arrays = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


class SAM2ImagePredictor:
    """Masks for prompts on an image or on a batch of images.

    Parameters
    ----------
    sam_model : Sam2
        From :func:`sam2_core.compat.build_sam2`.
    mask_threshold : float
        Logit above which a pixel belongs to the mask.
    max_hole_area : float
        Holes of at most so many low-resolution pixels are filled.
    max_sprinkle_area : float
        Specks of at most so many low-resolution pixels are removed.
    """

    def __init__(
        self,
        sam_model: Sam2,
        mask_threshold: float = 0.0,
        max_hole_area: float = 0.0,
        max_sprinkle_area: float = 0.0,
        **kwargs: Any,
    ) -> None:
        self.model = sam_model
        self.mask_threshold = mask_threshold
        self.max_hole_area = max_hole_area
        self.max_sprinkle_area = max_sprinkle_area
        self.reset_predictor()

    @classmethod
    def from_pretrained(cls, model_id: str, **kwargs: Any) -> SAM2ImagePredictor:
        """Build from a model id such as "facebook/sam2.1-hiera-tiny", found locally."""
        from sam2_core.compat.build import build_sam2_hf

        return cls(build_sam2_hf(model_id, **kwargs), **kwargs)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    def reset_predictor(self) -> None:
        """Forget all images."""
        self._images: list[_SetImage] = []
        self._is_image_set = False
        self._is_batch = False

    def set_image(self, image: Any) -> None:
        """Encode an RGB image: (H, W, 3) uint8 (or float in [0, 1]) or a PIL image."""
        self.reset_predictor()
        self._add(image)
        self._is_image_set = True

    def set_image_batch(self, image_list: Sequence[NDArray[Any]]) -> None:
        """Encode several images, of any sizes, for :meth:`predict_batch`."""
        self.reset_predictor()
        if not isinstance(image_list, (list, tuple)) or not len(image_list):
            raise ImageError("set_image_batch needs a list of images.")
        for image in image_list:
            self._add(image)
        self._is_image_set = self._is_batch = True

    def get_image_embedding(self) -> Tensor:
        """Embedding of the image (or images), (B, C, g, g), no-memory code included."""
        self._require_image()
        with inference():
            return torch.cat(
                [self.model.without_memory(image.features) for image in self._images]
            )

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> Arrays:
        """Masks for prompts on the image, the last one of a batch.

        Parameters
        ----------
        point_coords, point_labels : array_like, optional
            (N, 2) or (B, N, 2) xy pixels; (N,) or (B, N) labels 1 and 0.
        box : array_like, optional
            (4,) or (B, 4) x0, y0, x1, y1.
        mask_input : array_like, optional
            (1, h, w) or (B, 1, h, w) logits of an earlier call.
        multimask_output : bool
            Three masks instead of one.
        return_logits : bool
            Logits at image size instead of masks.
        normalize_coords : bool
            False if coordinates are given in [0, 1].

        Returns
        -------
        masks : ndarray
            (C, H, W) or (B, C, H, W) float32, 0 and 1, or logits.
        iou_predictions : ndarray
            (C,) or (B, C) float32.
        low_res_masks : ndarray
            (C, h, w) or (B, C, h, w) float32 logits within +-32.

        Raises
        ------
        PromptError
            If a prompt is malformed.
        ImageError
            If no image is set.
        """
        self._require_image()
        return self._predict(
            -1,
            point_coords,
            point_labels,
            box,
            mask_input,
            multimask_output,
            return_logits,
            normalize_coords,
        )

    def predict_batch(
        self,
        point_coords_batch: Sequence[ArrayLike] | None = None,
        point_labels_batch: Sequence[ArrayLike] | None = None,
        box_batch: Sequence[ArrayLike] | None = None,
        mask_input_batch: Sequence[ArrayLike] | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> tuple[
        list[NDArray[np.float32]], list[NDArray[np.float32]], list[NDArray[np.float32]]
    ]:
        """Like :meth:`predict`, with one entry per image everywhere."""
        self._require_image()
        if not self._is_batch:
            raise ImageError("Only one image is set: use predict, or set_image_batch.")
        results = []
        for i in range(len(self._images)):
            points, labels, box, mask = (
                None if batch is None else batch[i]
                for batch in (
                    point_coords_batch,
                    point_labels_batch,
                    box_batch,
                    mask_input_batch,
                )
            )
            results.append(
                self._predict(
                    i,
                    points,
                    labels,
                    box,
                    mask,
                    multimask_output,
                    return_logits,
                    normalize_coords,
                )
            )
        masks, ious, low_res = zip(*results, strict=True)
        return list(masks), list(ious), list(low_res)

    def _predict(
        self,
        index: int,
        point_coords: ArrayLike | None,
        point_labels: ArrayLike | None,
        box: ArrayLike | None,
        mask_input: ArrayLike | None,
        multimask_output: bool,
        return_logits: bool,
        normalize_coords: bool,
    ) -> Arrays:
        if point_coords is None:
            point_labels = None  # ignored, as in the original
        elif point_labels is None:
            raise PromptError("point_labels must be given with point_coords.")
        prompt = sparse_prompt(point_coords, point_labels, box, low_level=True)
        previous = None
        if mask_input is not None:
            previous = mask_logits_prompt(mask_input, self.model.config.low_res_size)
        image = self._images[index]
        extent = image.hw if normalize_coords else (1, 1)
        with inference():
            if image.closeups is None or (prompt is None and previous is None):
                parts = [
                    self._decoded(image, prompt, extent, previous, multimask_output)
                ]
            else:
                if prompt is not None:
                    xy = transforms.points_to_image(prompt.point_xy, extent, image.hw)
                    prompt = SparsePrompt(xy, prompt.labels)
                parts = [
                    self._seen_closely(image, image.closeups, answers, multimask_output)
                    if answers
                    else self._decoded(
                        image, alone, image.hw, earlier, multimask_output
                    )
                    for alone, earlier, answers in image.closeups.each(prompt, previous)
                ]
            drawn, iou, low_res = (_joined(each) for each in zip(*parts, strict=True))
            if not return_logits:
                drawn = (drawn > self.mask_threshold).float()
            return _numpy(drawn), _numpy(iou), _numpy(low_res)

    def _decoded(
        self,
        image: _SetImage,
        prompt: SparsePrompt | None,
        extent_hw: tuple[int, int],
        previous: NDArray[np.float32] | None,
        multimask_output: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What the network says of the whole image: drawn logits, IoU, logits."""
        point_xy = labels = None
        if prompt is not None:
            size = self.model.config.image_size
            scaled = transforms.points_to_input(prompt.point_xy, extent_hw, size)
            point_xy = torch.from_numpy(scaled)
            labels = torch.from_numpy(np.array(prompt.labels))
        decoded = decode(
            self.model,
            image.features,
            point_xy,
            labels,
            None if previous is None else torch.from_numpy(previous),
            multimask_output,
        )
        drawn = transforms.logits_to_image(self._cleaned(decoded.logits), image.hw)
        return drawn, decoded.iou, decoded.logits.clamp(-MAX_LOGIT, MAX_LOGIT)

    def _seen_closely(
        self,
        image: _SetImage,
        closeups: CloseUps,
        answers: Sequence[Answer],
        multimask_output: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The same of answers to one prompt, best first."""
        count = 3 if multimask_output else 1
        shown = candidates(answers, count)
        size = self.model.config.low_res_size
        drawn = torch.empty(1, count, *image.hw, device=self.device)
        low_res = torch.empty(1, count, size, size, device=self.device)
        scores = [[answer.score for answer in shown]]
        # Holes and specks are measured in low-resolution pixels.
        pixels = image.hw[0] * image.hw[1] / size**2
        for i, answer in enumerate(shown):
            plane, coarse = closeups.hand_out(answer, size)
            drawn[0, i] = self._cleaned(plane[None], pixels)[0]
            low_res[0, i] = torch.from_numpy(coarse)
        return drawn, torch.tensor(scores, device=self.device), low_res

    def _cleaned(self, logits: Tensor, unit: float = 1.0) -> Tensor:
        """Logits without holes and specks, whose areas are in this unit of pixels."""
        cut, raised = self.mask_threshold, logits
        hole, sprinkle = self.max_hole_area * unit, self.max_sprinkle_area * unit
        if hole > 0:
            raised = fill_holes(logits, hole, cut, cut + 10.0)
        if sprinkle > 0:
            lowered = remove_specks(logits, sprinkle, cut, cut - 10.0)
            raised = torch.where(lowered != logits, lowered, raised)
        return raised

    def _require_image(self) -> None:
        if not self._is_image_set:
            raise ImageError("No image is set: call set_image first.")

    def _add(self, image: Any) -> None:
        array = np.asarray(image)
        if array.ndim != 3 or array.shape[-1] != 3 or 0 in array.shape:
            raise ImageError(
                f"The image has shape {array.shape} but must be (height, width, 3) RGB."
            )
        if array.dtype != np.uint8 and array.dtype.kind != "f":
            raise ImageError(
                f"The image is {array.dtype} but must be uint8, or float from 0 to 1; "
                "sam2_core.ImagePredictor takes any type."
            )
        with inference():
            self._images.append(_SetImage(self.model, array))


class _SetImage:
    """An image, and what the model has made of it."""

    def __init__(self, model: Sam2, pixels: NDArray[Any]) -> None:
        self.hw = (pixels.shape[0], pixels.shape[1])
        self._model = model
        self.closeups: CloseUps | None = None
        self._encoded: ImageFeatures | None = None
        if model.closeup is None:
            self._encoded = encode(model, pixels)
        else:
            value_range = None if pixels.dtype == np.uint8 else (0.0, 1.0)
            self.closeups = CloseUps(model.closeup, to_rgb8(pixels, value_range))

    @property
    def features(self) -> ImageFeatures:
        """Of the whole image; models with close-ups seldom need them."""
        if self._encoded is None:
            assert self.closeups is not None
            self._encoded = encode_picture(self._model, self.closeups)
        return self._encoded


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Parts along the batch axis, one by itself as it is."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _numpy(tensor: Tensor) -> NDArray[np.float32]:
    """As an array, without the batch axis where it is 1."""
    return np.asarray(tensor.squeeze(0).cpu().numpy())
