"""The Laplace distribution."""

import jax
import jax.numpy as jnp
from flax import struct

from vaejax.base import Distribution, Key
from vaejax.distributions.noise import noise, sum_event


@struct.dataclass
class Laplace(Distribution):
    r"""Densities :math:`e^{-|x - \text{loc}| / \text{scale}} / (2\,\text{scale})`.

    Attributes:
      loc: mean, median and mode, `[*batch_shape, *event_shape]`.
      scale: the mean distance from loc, positive, broadcasts against `loc`; the
        standard deviation is sqrt(2) of it.
      event_ndims: how many trailing axes `log_prob` sums; 0 gives the unsummed terms.
    """

    loc: jax.Array
    scale: jax.Array
    event_ndims: int = struct.field(pytree_node=False, default=1)

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws, differentiable in loc and scale."""
        shape = jnp.broadcast_shapes(jnp.shape(self.loc), jnp.shape(self.scale))
        eps = noise(jax.random.laplace, key, sample_shape, shape, self.event_ndims)
        return self.loc + self.scale * eps

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log density in nats, `[..., *batch_shape]`."""
        terms = -jnp.abs(value - self.loc) / self.scale - jnp.log(2 * self.scale)
        return sum_event(terms, self.event_ndims)

    def mean(self) -> jax.Array:
        """The expectation, `[*batch_shape, *event_shape]`."""
        return self.loc

    def mode(self) -> jax.Array:
        """The mode, which is the mean."""
        return self.loc
