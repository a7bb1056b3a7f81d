"""The Fréchet distance between two sets of features."""

from typing import Any, NamedTuple

import numpy as np


class Distance(NamedTuple):
    """A squared distance between two laws, with its standard error."""

    value: float
    standard_error: float


def frechet_distance(a: Any, b: Any, *, num_groups: int = 20) -> Distance:
    r"""The squared Fréchet distance between normals with the moments of two sets.

    .. math:: |\mu_a - \mu_b|^2
              + \operatorname{tr}\big(A + B - 2 (A^{1/2} B A^{1/2})^{1/2}\big)

    In float64, by symmetric eigenvalues alone, so that covariances without full rank
    are no trouble. Equal laws have a distance above 0, which falls as 1 / N: compare
    only distances of sets of the same sizes, in the same features.

    Args:
      a: features `[N, F]` of one set, from the network of your choice.
      b: features `[M, F]` of the other.
      num_groups: of the jackknife that gives the error: each time a part of both sets
        is left out, in the order given, so shuffle what is sorted.

    Returns:
      The `Distance`, in squared units of the features.

    Raises:
      ValueError: if the shapes do not fit, a feature is not finite, or a set has fewer
        than 2 examples for each group.

    References:
      Heusel et al., 2017, https://arxiv.org/abs/1706.08500, equation 6.
    """
    a, b = checked(a, b, least=2 * num_groups)
    own, other = (np.arange(len(points)) % num_groups for points in (a, b))
    kept = [_distance(a[own != g], b[other != g]) for g in range(num_groups)]
    error = np.sqrt((num_groups - 1) * np.var(kept))
    return Distance(_distance(a, b), float(error))


def checked(a: Any, b: Any, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Features `[N, F]` and `[M, F]` in float64.

    Raises:
      ValueError: if they are not that, not finite, or fewer than `least`.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1:] != b.shape[1:]:
        raise ValueError(
            "Two sets of features must be [N, F] and [M, F] with the same F, got "
            f"{a.shape} and {b.shape}: flatten images first."
        )
    if min(len(a), len(b)) < least:
        raise ValueError(
            f"Each set needs at least {least} examples, got {len(a)} and {len(b)}."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("Features must be finite: leave out examples that are not.")
    return a, b


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    gap = a.mean(axis=0) - b.mean(axis=0)
    cov_a, cov_b = (np.atleast_2d(np.cov(s, rowvar=False)) for s in (a, b))
    root = _root(cov_a)
    cross = np.linalg.eigvalsh(root @ cov_b @ root)
    overlap = np.sqrt(np.maximum(cross, 0)).sum()
    return float(gap @ gap + np.trace(cov_a) + np.trace(cov_b) - 2 * overlap)


def _root(cov: np.ndarray) -> np.ndarray:
    """The symmetric square root of a positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(cov)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
