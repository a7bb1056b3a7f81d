"""Does a code stay where it is when other factors change?"""

from typing import Any

import numpy as np

from vaejax.evaluate.disentanglement.score import Score, checked, jackknife


def irs(
    codes: Any, factors: Any, *, quantile: float = 0.99, num_groups: int = 20
) -> Score:
    r"""The interventional robustness score (IRS), from 0 to 1.

    .. math:: 1 - \min_f \frac{E_a\, Q(|z_d - E[z_d | v_f = a]| \mid v_f = a)}
              {\max |z_d - E[z_d]|}

    of each code d, with the mean over the values a of factor f that occur, and a
    quantile Q in place of the supremum over interventions on the other factors. The
    score is the mean over codes by the weight of their largest deviation. Factors must
    be independent and have no common cause, as in a grid.

    A constant code has weight 0 and part 0; if all are constant the score is 0. Copies
    of a code change nothing but its weight: robust codes may be redundant. A factor
    whose every value occurs once looks perfectly robust: take many examples of each.

    Args:
      codes: `[N, D]`.
      factors: `[N, F]` integers; a factor that has a single value is left out.
      quantile: Q, in [0, 1]; 1 is the largest deviation.
      num_groups: of the jackknife over examples, which gives the error; a rough one,
        as that of any maximum.

    Returns:
      The score; `parts` are those of the codes, `[D]`.

    Raises:
      ValueError: if an argument is not as described.

    References:
      Suter et al., 2019, https://arxiv.org/abs/1811.00007; the quantile and the
      weights as in Locatello et al., 2019, https://arxiv.org/abs/1811.12359.
    """
    z, v = checked(codes, factors)
    if not 0 <= quantile <= 1:
        raise ValueError(f"quantile must be in [0, 1], got {quantile}.")

    def each(z: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        moved = np.stack([_moved(z, column, quantile) for column in v.T])  # [F, D]
        weight = np.where(np.ptp(z, axis=0) > 0, abs(z - z.mean(axis=0)).max(axis=0), 0)
        ratio = moved.min(axis=0) / np.where(weight > 0, weight, 1)
        return np.where(weight > 0, 1 - ratio, 0), weight

    def mean(z: np.ndarray, v: np.ndarray) -> np.ndarray:
        parts, weight = each(z, v)
        return (parts * weight).sum() / (weight.sum() or 1)

    error = jackknife(mean, z, v, num_groups=num_groups)
    return Score(mean(z, v), error, each(z, v)[0])


def _moved(z: np.ndarray, v: np.ndarray, quantile: float) -> np.ndarray:
    """How far other factors move each code: `[N, D], [N] -> [D]`."""
    groups = [z[v == value] for value in np.unique(v)]
    far = [np.quantile(abs(g - g.mean(axis=0)), quantile, axis=0) for g in groups]
    return np.mean(far, axis=0)
