"""The variational Renyi bound."""

import math

import jax
import jax.numpy as jnp

from vaejax.base import Objective
from vaejax.objectives.particles import Bound, Gradient, weighted_particles


def renyi(
    *, num_particles: int = 50, alpha: float = 0.5, gradient: Gradient = "pathwise"
) -> Objective:
    r"""Negative variational Renyi bound, by K particles.

    .. math:: -\frac{1}{1 - \alpha} \log \frac1K \sum_{k=1}^K
              \left( \frac{p(x, z_k)}{q(z_k|x)} \right)^{1 - \alpha},
              \quad z_k \sim q(z|x)

    `alpha=1` is the ELBO over K particles (with a sampled rate), its limit from either
    side; `alpha=0` is `iwae(num_particles=K)`. The value falls as alpha grows. As K
    grows it tends to log p(x) less the Renyi divergence of order alpha; below 0 that is
    an upper bound on log p(x).

    Args:
      num_particles: K, posterior samples per example, at least 1.
      alpha: order of the divergence, any finite number; may be traced.
      gradient: `pathwise`, `stl`, `dreg` or `resampled`, see `iwae`.

    Returns:
      An `Objective`: loss `[B]` in nats; metrics `[B]`: `distortion` and `rate`, their
      means over the particles, and `effective_sample_size`, from 1 to K.

    Raises:
      ValueError: if `num_particles` is less than 1, a Python `alpha` not finite, or
        `gradient` unknown.

    References:
      Li and Turner, 2016, https://arxiv.org/abs/1602.02311.
    """
    if isinstance(alpha, int | float) and not math.isfinite(alpha):
        raise ValueError(f"alpha must be finite, got {alpha}.")

    def bound(log_weights: jax.Array) -> Bound:
        power = jnp.asarray(1 - alpha, log_weights.dtype)
        weights = jax.nn.softmax(power * log_weights, axis=0)
        value = jnp.where(
            power == 0,
            log_weights.mean(axis=0),
            _log_mean_power(log_weights, jnp.where(power == 0, 1, power)),
        )
        return Bound(value, weights, alpha * weights + (1 - alpha) * weights**2)

    return weighted_particles(bound, num_particles, gradient)


def _log_mean_power(log_weights: jax.Array, power: jax.Array) -> jax.Array:
    """The log of the power mean; it keeps its digits as the power tends to 0."""
    high, low = log_weights.max(axis=0), log_weights.min(axis=0)
    shift = jax.lax.stop_gradient(jnp.where(power > 0, high, low))
    exponents = power * (log_weights - shift)  # at most 0
    less = jnp.expm1(exponents).mean(axis=0)
    near = less > -0.5
    log_mean = jnp.where(
        near,
        jnp.log1p(jnp.where(near, less, 0)),
        jnp.log(jnp.exp(exponents).mean(axis=0)),
    )
    return shift + log_mean / power
