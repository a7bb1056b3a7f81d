"""A mixture of discretised logistics for each element of an event."""

from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from vaejax.base import Distribution, Key, split
from vaejax.distributions.discretized_logistic import (
    log_mass,
    mean_level,
    nearest_level,
)
from vaejax.distributions.noise import noise, sum_event


def likeliest_level(
    log_prob: Callable[[jax.Array], jax.Array], num_levels: int
) -> jax.Array:
    """The level of the largest log mass, by a look at each."""

    def better(
        k: jax.Array, best: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, ...]:
        level = k / (num_levels - 1)
        terms = log_prob(level)
        return jnp.maximum(best[0], terms), jnp.where(terms > best[0], level, best[1])

    first = log_prob(jnp.zeros(()))
    return jax.lax.fori_loop(1, num_levels, better, (first, 0 * first))[1]


def choose(logits: jax.Array, gumbel: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """A component k ~ softmax(logits), as the function `[..., K] -> [...]`."""
    component = jnp.argmax(logits + gumbel, axis=-1)

    def of(array: jax.Array) -> jax.Array:
        array = jnp.broadcast_to(array, component.shape + array.shape[-1:])
        return jnp.take_along_axis(array, component[..., None], axis=-1)[..., 0]

    return of


@struct.dataclass
class DiscretizedLogisticMixture(Distribution):
    r"""Levels k / (L - 1): K discretised logistics :math:`p_k`, their weights learned.

    .. math:: p(x) = \sum_k \pi_k\, p_k(x), \quad \pi = \text{softmax}(\text{logits})

    With one component it is the `DiscretizedLogistic`.

    Attributes:
      logits: of the weights, `[*batch_shape, *event_shape, K]`.
      loc: centres, of that shape.
      scale: scales, positive, of that shape.
      num_levels: L.
      event_ndims: how many trailing axes `log_prob` sums, the K not counted; 0 gives
        the unsummed terms.
    """

    support: ClassVar[str] = "levels"

    logits: jax.Array
    loc: jax.Array
    scale: jax.Array
    num_levels: int = struct.field(pytree_node=False)
    event_ndims: int = struct.field(pytree_node=False, default=1)

    def num_values(self) -> int:
        """L."""
        return self.num_levels

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws levels; not differentiable."""
        weight_key, level_key = split(key)
        shape, ndims = self.logits.shape, self.event_ndims
        gumbel = noise(jax.random.gumbel, weight_key, sample_shape, shape, ndims + 1)
        eps = noise(jax.random.logistic, level_key, sample_shape, shape[:-1], ndims)
        of = choose(self.logits, gumbel)
        return nearest_level(of(self.loc) + of(self.scale) * eps, self.num_levels)

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log mass in nats, `[..., *batch_shape]`."""
        return sum_event(self._terms(value), self.event_ndims)

    def _terms(self, value: jax.Array) -> jax.Array:
        log_weights = jax.nn.log_softmax(self.logits)
        terms = log_mass(value[..., None], self.loc, self.scale, self.num_levels)
        return jax.nn.logsumexp(log_weights + terms, axis=-1)

    def mean(self) -> jax.Array:
        """The expectation, `[*batch_shape, *event_shape]`."""
        means = mean_level(self.loc, self.scale, self.num_levels)
        return jnp.sum(jax.nn.softmax(self.logits) * means, axis=-1)

    def mode(self) -> jax.Array:
        """The likeliest level."""
        return likeliest_level(self._terms, self.num_levels)
