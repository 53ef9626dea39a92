"""Figures of merit computed from lists of numbers: clicks, calibration, presence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

NOC_IOU = 0.85
NOC_LIMIT = 10
BINS = 10


def clicks_needed(
    ious: Sequence[float], wanted: float = NOC_IOU, limit: int = NOC_LIMIT
) -> int:
    """Number of clicks after which an IoU is first reached ("NoC").

    Parameters
    ----------
    ious : sequence of float
        After 1, 2, ... clicks.
    wanted : float, default 0.85
        IoU to reach.
    limit : int, default 10
        Clicks allowed; an object that never gets there counts as so many.
    """
    for clicks, iou in enumerate(ious[:limit], 1):
        if iou >= wanted:
            return clicks
    return limit


def calibration_error(
    predicted: ArrayLike,
    reached: ArrayLike,
    weights: ArrayLike | None = None,
    bins: int = BINS,
) -> float | None:
    """Expected calibration error of predicted values between 0 and 1.

    The predictions are sorted into ``bins`` intervals of equal width (the last one
    includes 1). In each the mean prediction is compared with the mean of what was
    reached, and the absolute differences are averaged, each interval weighted by its
    part of the predictions.

    Parameters
    ----------
    predicted, reached : (N,) array_like
        Values outside [0, 1] are clipped.
    weights : (N,) array_like, optional
        How much each prediction counts; all alike by default.
    bins : int, default 10

    Returns
    -------
    float or None
        None without any prediction.
    """
    expected = np.clip(np.asarray(predicted, float), 0, 1)
    found = np.clip(np.asarray(reached, float), 0, 1)
    if not len(expected):
        return None
    share = np.ones_like(expected) if weights is None else np.asarray(weights, float)
    index = np.minimum((expected * bins).astype(int), bins - 1)
    # Mean difference times the interval's share is the sum of weighted differences.
    sums = np.bincount(index, share * (expected - found), minlength=bins)
    return float(np.abs(sums).sum() / share.sum())


def auroc(positive: ArrayLike, negative: ArrayLike) -> float | None:
    """Area under the ROC curve: how often a positive scores above a negative.

    Parameters
    ----------
    positive, negative : (N,) and (M,) array_like
        Scores; ties count one half.

    Returns
    -------
    float or None
        None if either is empty.
    """
    high, low = np.asarray(positive, float), np.asarray(negative, float)
    if not len(high) or not len(low):
        return None
    ranks = rankdata(np.concatenate([high, low]))[: len(high)]
    wins = ranks.sum() - len(high) * (len(high) + 1) / 2
    return float(wins / (len(high) * len(low)))
