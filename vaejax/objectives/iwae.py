"""The importance-weighted bound."""

import jax
import jax.numpy as jnp

from vaejax.base import Key, Metrics, Model, Objective, Params, X, total_rate
from vaejax.rates import sampled


def iwae(*, num_particles: int = 50) -> Objective:
    r"""Negative importance-weighted bound on log p(x).

    .. math:: -E\, \log \frac1K \sum_{k=1}^K \frac{p(x, z_k)}{q(z_k|x)},
              \quad z_k \sim q(z|x)

    `num_particles=1` is the ELBO with a sampled rate; the bound tightens as K grows.

    Args:
      num_particles: K, posterior samples per example, at least 1.

    Returns:
      An `Objective`: loss `[B]` in nats; metrics `[B]`: `distortion` and `rate`, their
      means over the particles (the ELBO's terms), and `effective_sample_size`, from 1
      to K.

    Raises:
      ValueError: if `num_particles` is less than 1.

    References:
      Burda et al., 2016, https://arxiv.org/abs/1509.00519, equation 8.
    """
    if num_particles < 1:
        raise ValueError(f"num_particles must be at least 1, got {num_particles}.")

    def loss(key: Key, model: Model, params: Params, x: X) -> tuple[jax.Array, Metrics]:
        posterior, prior = model.encode(params, x), model.prior(params)
        z, rates = posterior.sample_and_rates(key, prior, sampled, (num_particles,))
        distortion, rate = (
            model.decode(params, z).distortion(x),
            total_rate(rates),
        )  # [K, B]
        log_weights = -distortion - rate
        bound = jax.nn.logsumexp(log_weights, axis=0) - jnp.log(num_particles)
        weights = jax.nn.softmax(log_weights, axis=0)
        return -bound, {
            "distortion": distortion.mean(axis=0),
            "rate": rate.mean(axis=0),
            "effective_sample_size": 1 / (weights**2).sum(axis=0),
        }

    return Objective(loss)
