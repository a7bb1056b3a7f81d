"""The negative binomial distribution."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from vaejax.base import Distribution, Key, split
from vaejax.distributions.noise import noise_of, sum_event
from vaejax.distributions.stirling import deviance, gamma_remainder, remainder


@struct.dataclass
class NegativeBinomial(Distribution):
    r"""A Poisson whose rate is a gamma: counts with more variance than their mean.

    With :math:`\mu` = `rate` and :math:`\theta` = `concentration`,

    .. math:: p(x) = \frac{\Gamma(x + \theta)}{\Gamma(\theta)\, x!}
        \left(\frac{\theta}{\theta + \mu}\right)^\theta
        \left(\frac{\mu}{\theta + \mu}\right)^x

    has the mean mu and the variance :math:`\mu + \mu^2 / \theta`; theta -> infinity
    is the Poisson. As scipy's `nbinom`, n = theta and p = theta / (theta + mu).

    Attributes:
      rate: the mean mu, positive, `[*batch_shape, *event_shape]`.
      concentration: theta, the inverse dispersion, positive, broadcasts against `rate`.
      event_ndims: how many trailing axes `log_prob` sums; 0 gives the unsummed terms.
    """

    support: ClassVar[str] = "counts"

    rate: jax.Array
    concentration: jax.Array
    event_ndims: int = struct.field(pytree_node=False, default=1)

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws counts, in the dtype of `rate`; not differentiable."""

        def draw(
            key: Key, shape: tuple[int, ...], mu: jax.Array, theta: jax.Array
        ) -> jax.Array:
            gamma_key, poisson_key = split(key)
            gamma = jax.random.gamma(gamma_key, theta, shape, mu.dtype)
            rate = mu / theta * gamma
            return jax.random.poisson(poisson_key, rate, shape).astype(mu.dtype)

        parameters = self.rate, self.concentration
        return noise_of(draw, key, sample_shape, parameters, self.event_ndims)

    def log_prob(self, value: jax.Array) -> jax.Array:
        r"""Log mass in nats, `[..., *batch_shape]`; see `stirling`."""
        x = jnp.asarray(value, float)
        mu, theta = self.rate, self.concentration
        total = x + theta
        share = total / (theta + mu)  # each part's expected share of the total
        terms = (
            gamma_remainder(total)
            - gamma_remainder(theta)
            - remainder(x)
            - deviance(x, mu * share)
            - deviance(theta, theta * share)
        )
        return sum_event(terms, self.event_ndims)

    def mean(self) -> jax.Array:
        """The expectation, mu."""
        return self.rate

    def mode(self) -> jax.Array:
        """The likeliest count: mu (theta - 1) / theta rounded down, at least 0."""
        theta = self.concentration
        return jnp.floor(jnp.maximum(self.rate * (theta - 1) / theta, 0))
