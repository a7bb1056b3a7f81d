"""Does one code alone predict each factor?"""

from typing import Any

import numpy as np

from vaejax.evaluate.disentanglement.score import Score, checked, jackknife, largest_gap


def sap(
    codes: Any,
    factors: Any,
    *,
    categorical: tuple[int, ...] = (),
    num_groups: int = 20,
) -> Score:
    r"""The separated attribute predictability (SAP), from 0 to 1.

    .. math:: \frac1F \sum_f R^2_{(1) f} - R^2_{(2) f}, \quad R^2_{df} =
              \frac{\mathrm{Cov}(z_d, v_f)^2}{\mathrm{Var}(z_d) \mathrm{Var}(v_f)}

    with the codes that predict factor f best and second best, by a line. For a
    categorical factor, whose order means nothing, R^2 is the share of the variance of
    the code between its values. (The paper takes the accuracy of a classifier there,
    which depends on how it is trained.)

    Where two codes predict equally well, as copies do, the gap is 0; constant codes
    predict nothing, and if all are constant the score is 0. Of a single code the gap is
    its R^2.

    Args:
      codes: `[N, D]`.
      factors: `[N, F]` integers, whose values that occur count as evenly spaced; a
        factor that has a single value is left out.
      categorical: columns of `factors` whose order means nothing, such as a shape.
      num_groups: of the jackknife over examples, which gives the error.

    Returns:
      The score; `parts` are the gaps of the factors that vary.

    Raises:
      ValueError: if an argument is not as described.

    References:
      Kumar et al., 2018, https://arxiv.org/abs/1711.00848.
    """
    z, v = checked(codes, factors)
    varies = np.ptp(np.asarray(factors), axis=0) > 0
    if not set(categorical) <= set(range(len(varies))):
        raise ValueError(
            f"categorical must be columns from 0 to {len(varies) - 1}, got "
            f"{categorical}."
        )
    unordered = np.isin(np.flatnonzero(varies), categorical)

    def gaps(z: np.ndarray, v: np.ndarray) -> np.ndarray:
        columns = [
            _between(z, column) if free else _linear(z, column)
            for column, free in zip(v.T, unordered, strict=True)
        ]
        return largest_gap(np.stack(columns, axis=1))

    parts = gaps(z, v)
    error = jackknife(lambda z, v: gaps(z, v).mean(), z, v, num_groups=num_groups)
    return Score(parts.mean(), error, parts)


def _linear(z: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The squared correlation of each code with a factor: `[N, D], [N] -> [D]`."""
    z, v = z - z.mean(axis=0), v - v.mean()
    total = (z**2).mean(axis=0) * (v**2).mean()
    return np.where(total > 0, (v @ z / len(v)) ** 2 / np.where(total > 0, total, 1), 0)


def _between(z: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The share of each code's variance between values: `[N, D], [N] -> [D]`."""
    z = z - z.mean(axis=0)
    groups = [z[v == value] for value in np.unique(v)]
    between = sum(len(g) * g.mean(axis=0) ** 2 for g in groups)
    total = (z**2).sum(axis=0)
    return np.where(total > 0, between / np.where(total > 0, total, 1), 0)
