"""The Poisson distribution."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from vaejax.base import Distribution, Key
from vaejax.distributions.noise import noise_of, sum_event
from vaejax.distributions.stirling import deviance, remainder


@struct.dataclass
class Poisson(Distribution):
    r"""Counts 0, 1, 2, ... of mean and variance m: :math:`m^x e^{-m} / x!`.

    Attributes:
      rate: m, positive, `[*batch_shape, *event_shape]`.
      event_ndims: how many trailing axes `log_prob` sums; 0 gives the unsummed terms.
    """

    support: ClassVar[str] = "counts"

    rate: jax.Array
    event_ndims: int = struct.field(pytree_node=False, default=1)

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws counts, in the dtype of `rate`; not differentiable."""

        def draw(key: Key, shape: tuple[int, ...], rate: jax.Array) -> jax.Array:
            return jax.random.poisson(key, rate, shape).astype(rate.dtype)

        return noise_of(draw, key, sample_shape, (self.rate,), self.event_ndims)

    def log_prob(self, value: jax.Array) -> jax.Array:
        r"""Log mass in nats, `[..., *batch_shape]`; see `stirling`."""
        x = jnp.asarray(value, float)
        terms = -deviance(x, self.rate) - remainder(x)
        return sum_event(terms, self.event_ndims)

    def mean(self) -> jax.Array:
        """The expectation, the rate."""
        return self.rate

    def mode(self) -> jax.Array:
        """The likeliest count, the rate rounded down."""
        return jnp.floor(self.rate)
