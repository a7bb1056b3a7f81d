"""How well a score tells one set from another, whatever the threshold."""

from typing import Any, NamedTuple

import numpy as np


class Auroc(NamedTuple):
    """The area under the receiver operating characteristic, and its standard error."""

    value: float
    standard_error: float


def auroc(inside: Any, outside: Any) -> Auroc:
    r"""The chance that an outsider scores higher than an insider.

    .. math:: P(s_{out} > s_{in}) + \tfrac12 P(s_{out} = s_{in})

    Exact over all pairs, ties at one half: 1/2 is chance and 1 perfect; below 1/2 the
    score points the wrong way, as the likelihood of a VAE does for images simpler than
    those it was trained on. The error is DeLong's, of both sets as samples; it is 0
    where the sets are told apart without a mistake.

    Args:
      inside: scores `[N]` of examples such as those trained on, at least 2.
      outside: scores `[M]` of anomalies, which should be higher, at least 2.

    Returns:
      The `Auroc`.

    Raises:
      ValueError: if either is not one row of at least 2 numbers, none of them NaN.

    References:
      DeLong et al., 1988, https://doi.org/10.2307/2531595.
    """
    inside, outside = np.asarray(inside, np.float64), np.asarray(outside, np.float64)
    for name, scores in {"inside": inside, "outside": outside}.items():
        if scores.ndim != 1 or len(scores) < 2 or np.isnan(scores).any():
            raise ValueError(
                f"{name} must be at least 2 scores [N] without NaN, got shape "
                f"{scores.shape} and {np.isnan(scores).sum()} NaN."
            )
    above = _below(outside, inside)  # of each outsider: the share of insiders below
    under = 1 - _below(inside, outside)
    variance = above.var(ddof=1) / len(above) + under.var(ddof=1) / len(under)
    return Auroc(float(above.mean()), float(np.sqrt(variance)))


def _below(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The share of the others below each score, ties at one half."""
    others = np.sort(others)
    first = np.searchsorted(others, scores, side="left")
    last = np.searchsorted(others, scores, side="right")
    return (first + last) / (2 * len(others))
