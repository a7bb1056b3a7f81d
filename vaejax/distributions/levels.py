"""Numbers as the grey levels of an image."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from vaejax.base import Distribution, Key
from vaejax.distributions.noise import sum_event


@struct.dataclass
class Levels(Distribution):
    r"""A distribution of numbers k = 0, ..., L - 1, read as levels k / (L - 1).

    An image in [0, 1] then has the log mass of its numbers. A value is taken for the
    nearest level.

    Attributes:
      numbers: their distribution; its own `event_ndims` is not used.
      num_levels: L.
      event_ndims: how many trailing axes `log_prob` sums; 0 gives the unsummed terms.
    """

    support: ClassVar[str] = "levels"

    numbers: Distribution
    num_levels: int = struct.field(pytree_node=False)
    event_ndims: int = struct.field(pytree_node=False, default=1)

    def num_values(self) -> int:
        """L."""
        return self.num_levels

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws levels; not differentiable."""
        numbers = self.numbers.replace(event_ndims=self.event_ndims)
        return numbers.sample(key, sample_shape) / (self.num_levels - 1)

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log mass in nats, `[..., *batch_shape]`."""
        numbers = jnp.round(value * (self.num_levels - 1))
        terms = self.numbers.replace(event_ndims=0).log_prob(numbers)
        return sum_event(terms, self.event_ndims)

    def mean(self) -> jax.Array:
        """The expectation, `[*batch_shape, *event_shape]`."""
        return self.numbers.mean() / (self.num_levels - 1)

    def mode(self) -> jax.Array:
        """The likeliest level."""
        return self.numbers.mode() / (self.num_levels - 1)
