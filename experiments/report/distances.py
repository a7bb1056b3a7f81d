"""How far one set of vectors is from another, or from the prior."""

from typing import NamedTuple

import numpy as np
from sklearn.metrics import pairwise_distances


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    r"""The Frechet distance of the two Gaussians with the samples' moments.

    .. math:: |m_a - m_b|^2 + \mathrm{tr}(C_a + C_b - 2 (C_a C_b)^{1/2})

    This is the squared 2-Wasserstein distance. From finite samples it is biased
    upwards, so compare equal sample sizes only, with real-against-real beside it.

    Args:
      a: vectors `[N, D]`.
      b: vectors `[M, D]`.

    References:
      Dowson and Landau, 1982, https://doi.org/10.1016/0047-259X(82)90077-X.
    """
    shift = a.mean(axis=0) - b.mean(axis=0)
    first = np.atleast_2d(np.cov(a, rowvar=False))
    second = np.atleast_2d(np.cov(b, rowvar=False))
    # The eigenvalues of C_a C_b are those of the symmetric R C_b R, R = C_a^(1/2).
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    product = np.linalg.eigvalsh(root @ second @ root)
    cross = np.sqrt(np.maximum(product, 0)).sum()
    return float(shift @ shift + np.trace(first) + np.trace(second) - 2 * cross)


class Prdc(NamedTuple):
    """Fidelity (precision, density) and diversity (recall, coverage)."""

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: np.ndarray, generated: np.ndarray, num_neighbors: int = 5) -> Prdc:
    """Precision, recall, density and coverage of generated vectors.

    A set covers the balls around its members that reach to the k-th nearest other
    member. Precision is the share of generated vectors in a ball of the real set,
    recall the share of real vectors in a ball of the generated set; density counts
    the real balls a generated vector is in, over k, and coverage is the share of real
    balls with a generated vector in them.

    Args:
      real: vectors `[N, D]`.
      generated: vectors `[M, D]`.
      num_neighbors: k.

    References:
      Naeem et al., 2020, https://arxiv.org/abs/2002.09797.
    """

    def radii(x: np.ndarray) -> np.ndarray:
        distances = pairwise_distances(x)  # each row holds the vector itself, at 0
        return np.partition(distances, num_neighbors, axis=1)[:, num_neighbors]

    between = pairwise_distances(real, generated)  # [N, M]
    real_radii = radii(real)[:, None]
    in_real = between < real_radii
    in_generated = between < radii(generated)[None, :]
    return Prdc(
        precision=float(in_real.any(axis=0).mean()),
        recall=float(in_generated.any(axis=1).mean()),
        density=float(in_real.sum(axis=0).mean() / num_neighbors),
        coverage=float(in_real.any(axis=1).mean()),
    )


def gaussian_kl_to_prior(codes: np.ndarray) -> float:
    """KL(N(mean, covariance of the codes) || N(0, I)) in nats.

    Args:
      codes: `[N, D]`.
    """
    mean = codes.mean(axis=0)
    covariance = np.atleast_2d(np.cov(codes, rowvar=False))
    values = np.maximum(np.linalg.eigvalsh(covariance), 1e-12)
    return float(0.5 * (mean @ mean + (values - 1 - np.log(values)).sum()))
