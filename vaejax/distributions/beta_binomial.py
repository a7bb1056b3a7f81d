"""The beta-binomial distribution."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from vaejax.base import Distribution, Key, split
from vaejax.distributions.noise import noise, sum_event
from vaejax.distributions.stirling import deviance, gamma_remainder, remainder


@struct.dataclass
class BetaBinomial(Distribution):
    r"""Successes in n trials whose probability is a beta's: counts 0, 1, ..., n.

    .. math:: p(x) = \binom n x \frac{B(x + a, n - x + b)}{B(a, b)}

    Uniform at a = b = 1; the binomial as a and b grow in proportion.

    Attributes:
      a: pseudo-successes, positive, `[*batch_shape, *event_shape]`.
      b: pseudo-failures, positive, of the same shape.
      total_count: n, the number of trials.
      event_ndims: how many trailing axes `log_prob` sums; 0 gives the unsummed terms.
    """

    support: ClassVar[str] = "counts"

    a: jax.Array
    b: jax.Array
    total_count: int = struct.field(pytree_node=False)
    event_ndims: int = struct.field(pytree_node=False, default=1)

    def num_values(self) -> int:
        """Counts from 0 to n."""
        return self.total_count + 1

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws counts by Polya's urn, in the dtype of `a`; not differentiable.

        It holds a white and b black balls; each of n draws puts back one ball more of
        its colour. Nothing is rejected.
        """
        shape = jnp.broadcast_shapes(jnp.shape(self.a), jnp.shape(self.b))

        def draw(i: Any, state: tuple[Key, jax.Array]) -> tuple[Key, jax.Array]:
            key, own = split(state[0])
            u = noise(jax.random.uniform, own, sample_shape, shape, self.event_ndims)
            is_white = u * (self.a + self.b + i) < self.a + state[1]
            return key, state[1] + is_white

        first = draw(0, (key, jnp.zeros((), self.a.dtype)))  # also finds the shape
        return jax.lax.fori_loop(1, self.total_count, draw, first)[1]

    def log_prob(self, value: jax.Array) -> jax.Array:
        r"""Log mass in nats, `[..., *batch_shape]`; see `stirling`."""
        a, b, n = self.a, self.b, jnp.asarray(self.total_count, float)
        x = jnp.asarray(value, float)
        whole = n + a + b
        won, lost = (x + a) / whole, (n - x + b) / whole
        terms = (
            (remainder(n) - remainder(x) - remainder(n - x))
            + (gamma_remainder(x + a) + gamma_remainder(n - x + b))
            - gamma_remainder(whole)
            - (gamma_remainder(a) + gamma_remainder(b) - gamma_remainder(a + b))
            - (deviance(x, n * won) + deviance(n - x, n * lost))
            - (deviance(a, (a + b) * won) + deviance(b, (a + b) * lost))
        )
        return sum_event(terms, self.event_ndims)

    def mean(self) -> jax.Array:
        """The expectation, n a / (a + b)."""
        return self.total_count * self.a / (self.a + self.b)

    def mode(self) -> jax.Array:
        """The likeliest count: an end where the mass has its minimum inside."""
        a, b, n = self.a, self.b, self.total_count
        has_peak = a + b > 2
        peak = (n + 1) * (a - 1) / jnp.where(has_peak, a + b - 2, 1)
        inner = jnp.clip(jnp.floor(peak), 0, n)
        return jnp.where(has_peak, inner, jnp.where(a > b, n, 0)).astype(a.dtype)
