"""How well a score tells two sets apart."""

import math
from typing import Any, NamedTuple

import numpy as np


class Auroc(NamedTuple):
    """The area under the curve of true against false alarms, and its error."""

    value: float
    standard_error: float


def auroc(scores_in: Any, scores_out: Any) -> Auroc:
    r"""The probability that an outlier scores higher than an inlier.

    .. math:: \Pr(s_\text{out} > s_\text{in})
              + \tfrac12 \Pr(s_\text{out} = s_\text{in})

    The standard error is DeLong's, exact ties included: the variances of each score's
    own share of the other set, over the sizes of the sets. It is 0 where all are told
    apart, however few they are.

    Args:
      scores_in: of inliers, `[N]`, at least 2; infinities are scores like others.
      scores_out: of outliers, `[M]`, at least 2; higher means more anomalous.

    Raises:
      ValueError: if the scores are not two vectors of at least 2, or one is NaN.

    References:
      DeLong et al., 1988, Comparing the areas under two or more correlated receiver
      operating characteristic curves: a nonparametric approach.
    """
    inside, outside = (np.asarray(s, np.float64) for s in (scores_in, scores_out))
    if inside.ndim != 1 or outside.ndim != 1 or min(inside.size, outside.size) < 2:
        raise ValueError(
            "Scores must be two vectors of at least 2, got shapes "
            f"{inside.shape} and {outside.shape}."
        )
    if np.isnan(inside).any() or np.isnan(outside).any():
        raise ValueError("A score is NaN: leave its example out, or find out why.")
    of_outside = _share_below(inside, outside)  # [M]
    of_inside = 1 - _share_below(outside, inside)  # [N]
    variance = (
        of_outside.var(ddof=1) / outside.size + of_inside.var(ddof=1) / inside.size
    )
    return Auroc(float(of_outside.mean()), math.sqrt(variance))


def _share_below(others: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The share of `others` below each score, those equal to it by half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, scores, "left")
    return (below + np.searchsorted(ordered, scores, "right")) / (2 * others.size)
