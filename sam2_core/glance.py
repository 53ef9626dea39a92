"""A look at one frame of a stack by itself: nothing is remembered, nothing changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sam2_core import transforms
from sam2_core.errors import PromptError
from sam2_core.image import MAX_LOGIT, Prediction, answered, decode
from sam2_core.inference import inference
from sam2_core.prompts import check_frame_index, sparse_prompt

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from sam2_core.video import VideoSession


def glance(
    session: VideoSession,
    frame_index: int,
    point_coords: ArrayLike | None = None,
    point_labels: ArrayLike | None = None,
    box: ArrayLike | None = None,
    multimask_output: bool = True,
) -> Prediction:
    """Masks that prompts would give on a frame that has not been tracked.

    Parameters
    ----------
    session : VideoSession
        Its objects and prompts stay as they are; the frame's features are shared.
    frame_index : int
        Which frame.
    point_coords, point_labels, box
        As for :meth:`sam2_core.ImagePredictor.predict`, of one object.
    multimask_output : bool
        The three masks of an ambiguous prompt instead of the clear one.

    Returns
    -------
    Prediction
        Masks, scores and low-resolution logits.

    Raises
    ------
    PromptError
        If there is no prompt, or frame or prompt make no sense.
    """
    index = check_frame_index(frame_index, session.num_frames)
    prompt = sparse_prompt(point_coords, point_labels, box, session.shape)
    if prompt is None:
        raise PromptError("There is no prompt: give a point or a box.")
    model, count = session.model, 3 if multimask_output else 1
    with inference():
        closeups = session.closeups(index)
        if closeups is not None:
            answers = closeups.answers(prompt.point_xy[0], prompt.labels[0])
            if answers:
                return answered(closeups, answers, count, model.config.low_res_size)
        xy = transforms.points_to_input(
            prompt.point_xy, session.shape, model.config.image_size
        )
        decoded = decode(
            model,
            session.frame_features(index),
            torch.from_numpy(xy),
            torch.from_numpy(prompt.labels),
            None,
            multimask_output,
        )
        masks = transforms.logits_to_image(decoded.logits, session.shape) > 0
        low_res = decoded.logits.clamp(-MAX_LOGIT, MAX_LOGIT)
        found = masks[0], decoded.iou[0], low_res[0]
        return Prediction(*(array.cpu().numpy() for array in found))
