"""Can all factors be read off all codes together?"""

from typing import Any

import numpy as np

from vaejax.evaluate.disentanglement.logistic_regression import logistic_regression
from vaejax.evaluate.disentanglement.ranks import area_under_curve
from vaejax.evaluate.disentanglement.score import Score, checked, jackknife, shuffled


def explicitness(
    codes: Any, factors: Any, *, penalty: float = 1.0, num_groups: int = 20
) -> Score:
    r"""The explicitness of codes: 1 at best, 1/2 by chance.

    .. math:: \frac1F \sum_f \frac{1}{|V_f|} \sum_{a \in V_f}
              \mathrm{AUC}(\log \mathrm{odds}(v_f = a | z),\; v_f = a)

    the area under the curve of a logistic regression of each value of each factor
    against the rest, on all codes. It is fitted to a fixed half of the examples and
    judged on the other.

    The classifier is linear: the middle value of an ordered factor is not to be had
    from one code that grows with it, so that perfect codes of factors of more than two
    values score below 1. Ties count half: constant codes score 1/2. Copies of codes,
    and rotations, change nothing but how strong the penalty is. A value that one of the
    halves lacks is left out.

    Args:
      codes: `[N, D]`.
      factors: `[N, F]` integers; a factor that has a single value is left out.
      penalty: lambda of a ridge :math:`\lambda |w|^2 / 2` on the weights of
        standardised codes, against the sum over examples; positive.
      num_groups: of the jackknife over the examples judged on, the classifiers held
        fixed, which gives the error.

    Returns:
      The score; `parts` are those of the factors that vary.

    Raises:
      ValueError: if an argument is not as described, or of some factor no value is in
        both halves.

    References:
      Ridgeway and Mozer, 2018, https://arxiv.org/abs/1802.05312.
    """
    z, v = checked(codes, factors)
    if not penalty > 0:
        raise ValueError(f"penalty must be positive, got {penalty}.")
    odds, positive, owner = _judged(z, v, penalty)
    if len(set(owner)) < v.shape[1]:
        raise ValueError(
            "Of every factor some value must be in both halves of the examples, got "
            f"{len(z)} examples: give more."
        )

    def areas(odds: np.ndarray, positive: np.ndarray) -> np.ndarray:
        pairs = zip(odds.T, positive.T, strict=True)
        each = np.array([_area(*pair) for pair in pairs])
        return np.array([np.nanmean(each[owner == f]) for f in range(v.shape[1])])

    parts = areas(odds, positive)
    error = jackknife(
        lambda *rows: areas(*rows).mean(), odds, positive, num_groups=num_groups
    )
    return Score(parts.mean(), error, parts)


def _judged(
    z: np.ndarray, v: np.ndarray, penalty: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log odds and truth of each value on the half not fitted to, and its factor."""
    half = shuffled(len(z)) % 2 == 0
    odds, positive, owner = [], [], []
    for f, column in enumerate(v.T):
        for value in np.unique(column):
            is_a = column == value
            if all(0 < is_a[part].sum() < part.sum() for part in (half, ~half)):
                y = is_a[half].astype(int)
                fit = logistic_regression(z[half], y, 2, penalty=2 * penalty)
                odds.append(fit.odds(z[~half]) @ np.array([-1, 1]))
                positive.append(is_a[~half])
                owner.append(f)
    shape = (len(odds), (~half).sum())
    return np.reshape(odds, shape).T, np.reshape(positive, shape).T, np.array(owner)


def _area(odds: np.ndarray, positive: np.ndarray) -> float:
    """NaN where a group of the jackknife took all examples of a value."""
    return area_under_curve(odds, positive) if np.ptp(positive * 1) else np.nan
