"""The Fréchet distance between the normals that share the moments of two sets."""

import math
from typing import Any, NamedTuple

import numpy as np

from vaejax.evaluate.measurement import Measurement


class Moments(NamedTuple):
    """Of a set `[N, F]`, in float64; the divisor of the covariance is N - 1."""

    mean: np.ndarray  # [F]
    trace: float  # of the covariance
    root: np.ndarray  # of the covariance, symmetric: [F, F]


def frechet_distance(
    a: Any, b: Any, *, num_groups: int = 10, sha256: str | None = None
) -> Measurement:
    r"""The squared Fréchet distance between two sets of features.

    .. math:: |\mu_a - \mu_b|^2
              + \mathrm{tr}(\Sigma_a + \Sigma_b - 2 (\Sigma_a \Sigma_b)^{1/2})

    In Inception features this is the FID. As an estimate it is too large, by a term of
    order F / N that differs from law to law: compare sets of the same size. It sees two
    moments and nothing else.

    The standard error is a jackknife over groups: each tenth of one set is left out in
    its turn, and then of the other. It holds where the laws differ; between equal laws
    the distance is all bias.

    Args:
      a: features `[N, F]`, rows in no order.
      b: features `[M, F]`.
      num_groups: of each set, at least 2; the error costs `2 * num_groups` distances.
      sha256: of what made the features, which the result carries.

    Returns:
      A `Measurement`.

    Raises:
      ValueError: if the features are not two matrices of one width, are not finite, or
        a set has fewer than `num_groups` rows, or fewer than 4.

    References:
      Heusel et al., 2017, https://arxiv.org/abs/1706.08500.
      Dowson and Landau, 1982, The Fréchet distance between multivariate normal
      distributions.
    """
    a, b = (np.asarray(rows, np.float64) for rows in (a, b))
    _check(a, b, num_groups)
    all_a, all_b = moments(a), moments(b)
    without_a = [_between(part, all_b) for part in _leaving_out(a, num_groups)]
    without_b = [_between(all_a, part) for part in _leaving_out(b, num_groups)]
    # (G - 1) / G times the sum of squares about the mean, for each of the two sets.
    variance = (num_groups - 1) * (np.var(without_a) + np.var(without_b))
    return Measurement(_between(all_a, all_b), math.sqrt(variance), sha256)


def moments(rows: np.ndarray) -> Moments:
    """The mean and the covariance of `[N, F]`, as its symmetric root."""
    mean = rows.mean(axis=0)
    centred = rows - mean
    covariance = centred.T @ centred / (len(rows) - 1)
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    return Moments(mean, float(np.trace(covariance)), root)


def _between(a: Moments, b: Moments) -> float:
    # The eigenvalues of (S_a S_b)^(1/2) are the singular values of the product of the
    # roots: their squares, which would lose half of the digits, are never formed.
    overlap = np.linalg.svd(a.root @ b.root, compute_uv=False).sum()
    return float(((a.mean - b.mean) ** 2).sum() + a.trace + b.trace - 2 * overlap)


def _leaving_out(rows: np.ndarray, num_groups: int) -> list[Moments]:
    group = np.arange(len(rows)) % num_groups
    return [moments(rows[group != left_out]) for left_out in range(num_groups)]


def _check(a: np.ndarray, b: np.ndarray, num_groups: int) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"Features must be [N, F] and [M, F], got {a.shape} and {b.shape}: flatten "
            "them, or give both the same network."
        )
    if num_groups < 2:
        raise ValueError(f"num_groups must be at least 2, got {num_groups}.")
    least = max(4, num_groups)
    if min(len(a), len(b)) < least:
        raise ValueError(
            f"At least {least} rows are needed of each set, got {len(a)} and {len(b)}: "
            "give more, or lower num_groups."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("Features must be finite, got some that are not.")
