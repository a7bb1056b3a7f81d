"""The mean of several importance-weighted bounds."""

import jax

from vaejax.base import Objective
from vaejax.objectives.particles import (
    Bound,
    Gradient,
    log_mean_weight,
    weighted_particles,
)


def miwae(
    *, num_particles: int = 8, num_bounds: int = 8, gradient: Gradient = "pathwise"
) -> Objective:
    r"""Negative multiply importance-weighted bound on log p(x).

    .. math:: -E\, \frac1M \sum_{m=1}^M \log \frac1K \sum_{k=1}^K
              \frac{p(x, z_{mk})}{q(z_{mk}|x)}, \quad z_{mk} \sim q(z|x)

    The value of `iwae(num_particles=K)` with less noise in the gradient. M = 1 is that
    bound itself, K = 1 the ELBO over M particles. Unrelated to the objective for
    missing data of the same name (Mattei and Frellsen), which is `masked` here.

    Args:
      num_particles: K, posterior samples in each bound, at least 1.
      num_bounds: M, bounds averaged, at least 1.
      gradient: `pathwise`, `stl`, `dreg` or `resampled`, see `iwae`.

    Returns:
      An `Objective`: loss `[B]` in nats; metrics `[B]`: `distortion` and `rate`, their
      means over the M K particles, and `effective_sample_size`, from 1 to M K.

    Raises:
      ValueError: if a count is less than 1, or `gradient` unknown.

    References:
      Rainforth et al., 2018, https://arxiv.org/abs/1802.04537.
    """
    if min(num_particles, num_bounds) < 1:
        raise ValueError(
            "num_particles and num_bounds must be at least 1, got "
            f"{num_particles} and {num_bounds}."
        )

    def mean_bound(log_weights: jax.Array) -> Bound:
        groups = log_weights.reshape(num_bounds, num_particles, -1)  # [M, K, B]
        each = jax.vmap(log_mean_weight)(groups)
        return Bound(
            each.value.mean(axis=0),
            each.slope.reshape(log_weights.shape) / num_bounds,
            each.doubly.reshape(log_weights.shape) / num_bounds,
        )

    return weighted_particles(mean_bound, num_bounds * num_particles, gradient)
