"""A distribution in other units."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from vaejax.base import Distribution, Key


@struct.dataclass
class Rescaled(Distribution):
    r"""The law of z = loc + scale u, u ~ base, where z is a vector.

    .. math:: \log p(z) = \log \text{base}((z - \text{loc}) / \text{scale})
              - \sum_d \log \text{scale}_d

    Attributes:
      base: the law of u, event shape `[D]`.
      loc: `[D]`.
      scale: positive, `[D]`.
    """

    event_ndims: ClassVar[int] = 1

    base: Distribution
    loc: jax.Array
    scale: jax.Array

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws `[*sample_shape, *batch_shape, D]`."""
        return self.loc + self.scale * self.base.sample(key, sample_shape)

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log density in nats, `[..., *batch_shape]`."""
        log_prob = self.base.log_prob((value - self.loc) / self.scale)
        return log_prob - jnp.log(self.scale).sum(axis=-1)
