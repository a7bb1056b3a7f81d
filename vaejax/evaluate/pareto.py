"""The shape of the tail of importance weights: whether their mean can be trusted."""

import math

import jax
import jax.numpy as jnp

LEAST = 5  # weights that have a tail


def tail_size(num_particles: int) -> int:
    """How many of the largest weights are the tail; 0 where they are too few."""
    num = math.ceil(min(0.2 * num_particles, 3 * math.sqrt(num_particles)))
    return num if num >= LEAST else 0


def pareto_k(log_weights: jax.Array) -> jax.Array:
    r"""The shape k of the generalised Pareto distribution that fits the tail, `[]`.

    Moments of the weights exist up to order 1 / k: below 0.5 their variance is finite,
    above 0.7 the mean converges so slowly that neither it nor its error is of use.
    The fit is Zhang and Stephens', with

    .. math:: k(b) = \frac1M \sum_i \log(1 - b x_i), \quad
              \ell(b) = M (\log(-b / k(b)) - k(b) - 1)

    of exceedances x: b is its mean over a grid, weighted by the likelihood, and k(b) is
    drawn towards 1/2 by ten observations' worth.

    Args:
      log_weights: the M + 1 largest, falling; the last is the threshold.

    Returns:
      The estimate; minus infinity if all weights of the tail are equal.

    References:
      Vehtari et al., 2024, https://arxiv.org/abs/1507.02646, section 3 and appendix.
      Zhang and Stephens, 2009, https://doi.org/10.1198/tech.2009.08017.
    """
    num = len(log_weights) - 1
    level = jnp.where(jnp.isfinite(log_weights[0]), log_weights[0], 0)
    w = jnp.exp(log_weights - level)
    x = (w[:-1] - w[-1])[::-1]  # rising
    quartile = x[int(num / 4 + 0.5) - 1]
    scale = 3 * jnp.where(quartile > 0, quartile, x[-1])
    grid = jnp.arange(1, 31 + math.isqrt(num)) - 0.5
    some = x[-1] > 0
    b = (1 - jnp.sqrt(len(grid) / grid)) / jnp.where(some, scale, 1)
    b += 1 / jnp.where(some, x[-1], 1)

    def shape(b: jax.Array) -> jax.Array:
        return jnp.log1p(-b * x).mean()

    k = jax.vmap(shape)(b)
    likelihood = num * (jnp.log(-b / k) - k - 1)
    best = shape(jnp.sum(b * jax.nn.softmax(likelihood)))
    return jnp.where(some, (num * best + 10 * 0.5) / (num + 10), -jnp.inf)
