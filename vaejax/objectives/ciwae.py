"""Between the evidence lower bound and the importance-weighted one."""

import jax

from vaejax.base import Objective
from vaejax.objectives.particles import (
    Bound,
    Gradient,
    log_mean_weight,
    mean_log_weight,
    weighted_particles,
)


def ciwae(
    *, num_particles: int = 50, beta: float = 0.5, gradient: Gradient = "pathwise"
) -> Objective:
    r"""Negative combination of two bounds on log p(x), over the same K particles.

    .. math:: -\beta\, \mathrm{ELBO} - (1 - \beta)\, \mathrm{IWAE}_K

    `beta=1` is the ELBO over K particles (with a sampled rate), `beta=0` is
    `iwae(num_particles=K)`. This beta weighs the bounds, not the rate.

    Args:
      num_particles: K, posterior samples per example, at least 1.
      beta: the share of the ELBO, from 0 to 1; may be traced.
      gradient: `pathwise`, `stl`, `dreg` or `resampled`, see `iwae`.

    Returns:
      An `Objective`: loss `[B]` in nats; metrics `[B]`: `distortion` and `rate`, their
      means over the particles, and `effective_sample_size`, from 1 to K.

    Raises:
      ValueError: if `num_particles` is less than 1, a Python `beta` not from 0 to 1, or
        `gradient` unknown.

    References:
      Rainforth et al., 2018, https://arxiv.org/abs/1802.04537.
    """
    if isinstance(beta, int | float) and not 0 <= beta <= 1:
        raise ValueError(f"beta must be from 0 to 1, got {beta}.")

    def combination(log_weights: jax.Array) -> Bound:
        elbo, iwae = mean_log_weight(log_weights), log_mean_weight(log_weights)
        return jax.tree.map(lambda a, b: beta * a + (1 - beta) * b, elbo, iwae)

    return weighted_particles(combination, num_particles, gradient)
