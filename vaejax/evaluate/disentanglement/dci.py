"""Disentanglement, completeness and informativeness, by linear prediction."""

from typing import Any, NamedTuple

import numpy as np

from vaejax.evaluate.disentanglement.score import Score, checked, jackknife, shuffled


class DCI(NamedTuple):
    """The three scores, and what they are made of."""

    disentanglement: Score  # `parts` of codes, [D]
    completeness: Score  # `parts` of factors, [F]
    informativeness: Score  # `parts` of factors, [F]
    importance: np.ndarray  # [D, F], at least 0


def dci(
    codes: Any, factors: Any, *, penalty: float = 0.01, num_groups: int = 20
) -> DCI:
    r"""Disentanglement, completeness and informativeness, each at most 1.

    The importance of code d for factor f is :math:`R_{df} = |w_{df}|` of a lasso,

    .. math:: \min_w \tfrac12 E (v_f - z w_f)^2 + \alpha |w_f|_1

    on codes and factors of mean 0 and variance 1. Disentanglement is
    :math:`1 - H_F(R_{d \cdot} / \sum_f R_{df})` of a code, completeness
    :math:`1 - H_D(R_{\cdot f} / \sum_d R_{df})` of a factor, with entropies to the base
    of the number of terms (0 for one term); the scores are means weighted by shares of
    the sum of R. Informativeness is the mean over factors of R^2 on a fixed half of the
    examples, by the lasso of the other half (each half standardised by the other's
    moments): about 1 - penalty^2 at best, below 0 for what is worse than a constant.

    A line sees no dependence but linear ones, and takes the places of a factor's values
    for numbers. Constant codes have no importance; if no code has any, disentanglement
    and completeness are 0. Of copies of a code the first gets all the importance.

    Args:
      codes: `[N, D]`, at least 4 examples.
      factors: `[N, F]` integers; a factor that has a single value is left out.
      penalty: alpha, positive.
      num_groups: of the jackknife over examples, which gives the errors.

    Returns:
      The three scores and the importance.

    Raises:
      ValueError: if an argument is not as described.

    References:
      Eastwood and Williams, 2018, https://openreview.net/forum?id=By-7dz-AZ; weights
      of factors as in Locatello et al., 2019, https://arxiv.org/abs/1811.12359.
    """
    z, v = checked(codes, factors)
    if not penalty > 0 or len(z) < 4:
        raise ValueError(
            "penalty must be positive and there must be at least 4 examples, got "
            f"{penalty} and {len(z)}."
        )
    half = shuffled(len(z)) < len(z) // 2  # and half of every group

    def totals(z: np.ndarray, v: np.ndarray, half: np.ndarray) -> np.ndarray:
        importance = abs(_fit(z, v, penalty))
        by_code, by_factor = importance.sum(axis=1), importance.sum(axis=0)
        whole = importance.sum() or 1
        return np.array(
            [
                _concentration(importance.T) @ by_code / whole,
                _concentration(importance) @ by_factor / whole,
                _explained(z, v, half, penalty).mean(),
            ]
        )

    importance = abs(_fit(z, v, penalty))
    errors = jackknife(totals, z, v, half, num_groups=num_groups)
    values = totals(z, v, half)
    parts = (
        _concentration(importance.T),
        _concentration(importance),
        _explained(z, v, half, penalty),
    )
    one, two, three = map(Score, values, errors, parts)
    return DCI(one, two, three, importance)


def _fit(z: np.ndarray, v: np.ndarray, penalty: float) -> np.ndarray:
    """The weights `[D, F]` of standardised codes for standardised factors."""
    z, v = _standardised(z, z), _standardised(v, v)
    return lasso(z.T @ z / len(z), z.T @ v / len(z), penalty)


def lasso(
    gram: np.ndarray, moments: np.ndarray, penalty: float, num_sweeps: int = 10_000
) -> np.ndarray:
    r"""Minimises :math:`\tfrac12 w^T G w - c^T w + \alpha |w|_1` for each column c.

    By coordinate descent from 0, in the order of the coordinates, until no weight moves
    by more than 1e-10.

    Args:
      gram: G, `[D, D]`, positive semi-definite.
      moments: c, `[D, F]`.
      penalty: alpha.
      num_sweeps: after how many it stops in any case.

    Returns:
      The weights w, `[D, F]`.
    """
    weight = np.zeros_like(moments)
    for _ in range(num_sweeps):
        before = weight.copy()
        for d in np.flatnonzero(np.diag(gram) > 0):
            pull = moments[d] - gram[d] @ weight + gram[d, d] * weight[d]
            weight[d] = np.sign(pull) * np.maximum(abs(pull) - penalty, 0) / gram[d, d]
        if abs(weight - before).max() <= 1e-10:
            break
    return weight


def _standardised(x: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and variance 1 in `like`; what is constant there is 0."""
    scale = np.where(np.ptp(like, axis=0) > 0, like.std(axis=0), np.inf)
    return (x - like.mean(axis=0)) / scale


def _concentration(importance: np.ndarray) -> np.ndarray:
    """1 - entropy of each column to the base of its length, 0 for a column of zeros."""
    total = importance.sum(axis=0)
    p = importance / np.where(total > 0, total, 1)
    logs = np.log(np.where(p > 0, p, 1)) / (np.log(len(p)) or 1)
    return np.where(total > 0, 1 + (p * logs).sum(axis=0), 0)


def _explained(
    z: np.ndarray, v: np.ndarray, half: np.ndarray, penalty: float
) -> np.ndarray:
    """R^2 of each factor on the other half of the examples."""
    weight = _fit(z[half], v[half], penalty)
    seen, new = _standardised(z, z[half])[~half], _standardised(v, v[half])[~half]
    variance = new.var(axis=0)
    gap = ((new - seen @ weight) ** 2).mean(axis=0)
    return np.where(variance > 0, 1 - gap / np.where(variance > 0, variance, 1), 0)
