"""All mass on one point: the posterior of a deterministic auto-encoder."""

import jax
import jax.numpy as jnp
from flax import struct

from vaejax.base import Distribution, Key


@struct.dataclass
class PointMass(Distribution):
    """A distribution that always gives `loc`; it can be sampled, but has no density.

    Attributes:
      loc: the point, `[*batch_shape, *event_shape]`.
      event_ndims: how many trailing axes are the event.
    """

    loc: jax.Array
    event_ndims: int = struct.field(pytree_node=False, default=1)

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Gives `loc`, `[*sample_shape, *loc.shape]`; a `[B]` key adds a missing B."""
        batch_shape = self.loc.shape[: self.loc.ndim - self.event_ndims]
        lead = sample_shape + (batch_shape or key.shape)
        return jnp.broadcast_to(self.loc, lead + self.loc.shape[len(batch_shape) :])

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Has none.

        Raises:
          TypeError: always; train with `objectives.reconstruction`.
        """
        raise TypeError(
            "A PointMass has no density, so a model with a point-mass posterior has "
            "no rate, ELBO or likelihood: train it with objectives.reconstruction()."
        )

    def mean(self) -> jax.Array:
        """The point, `[*batch_shape, *event_shape]`."""
        return self.loc

    def mode(self) -> jax.Array:
        """The point."""
        return self.loc
