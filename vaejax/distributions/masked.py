"""A distribution of which only some elements were observed."""

import jax
import jax.numpy as jnp
from flax import struct

from vaejax.base import Distribution, Key
from vaejax.distributions.noise import sum_event

Incomplete = tuple[jax.Array, jax.Array]  # (value, mask): the mask is 1 where observed


def fill_in(x: Incomplete, fill: jax.Array | float) -> Incomplete:
    """The same pair with `fill` for every hidden value, and a mask of its shape."""
    value, mask = x
    mask = jnp.broadcast_to(mask, jnp.shape(value)).astype(bool)
    return jnp.where(mask, value, fill), mask


@struct.dataclass
class Masked(Distribution):
    r"""The marginal of the observed elements, for a base of independent elements.

    .. math:: \log p(x_\text{observed}) = \sum_i m_i \log p(x_i)

    `log_prob` takes a pair `(value, mask)`. Hidden values may be anything, NaN
    included: they reach neither the sum nor a gradient. Draws and the mean are those
    of the base, complete.

    Attributes:
      base: the distribution of all elements, with a field `event_ndims`.
      fill: stands in for hidden values; any value that `base` may take.
    """

    base: Distribution
    fill: jax.Array | float = 0.0

    def log_prob(self, value: Incomplete) -> jax.Array:
        """Log density of what was observed, in nats: `[..., *batch_shape]`.

        Raises:
          TypeError: if the elements of `base` are not independent, or `base` fits a
            parameter to the batch (`OptimalNormal`).
        """
        known, mask = fill_in(value, self.fill)
        name, event_ndims = type(self.base).__name__, _event_ndims(self.base)
        if self.base.fits_batch or not self.base.independent:
            raise TypeError(
                f"{name} judges complete values only. Take a likelihood of independent "
                "elements, such as normal with a given or learned scale, or a mixture "
                "without coupling."
            )
        # Replaced before and masked after: the gradient of 0 * log_prob(NaN) is NaN.
        terms = self.base.replace(event_ndims=0).log_prob(known)
        event_shape = known.shape[known.ndim - event_ndims :]
        if terms.shape[terms.ndim - event_ndims :] != event_shape:
            raise TypeError(f"{name} has no log_prob of single elements.")
        return sum_event(jnp.where(mask, terms, 0), event_ndims)

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws all elements, `[*sample_shape, *batch_shape, *event_shape]`."""
        return self.base.sample(key, sample_shape)

    def mean(self) -> jax.Array:
        """The expectation of all elements, `[*batch_shape, *event_shape]`."""
        return self.base.mean()

    def mode(self) -> jax.Array:
        """The likeliest value of all elements, `[*batch_shape, *event_shape]`."""
        return self.base.mode()


def _event_ndims(base: Distribution) -> int:
    event_ndims = getattr(base, "event_ndims", None)
    if event_ndims is None:
        raise TypeError(
            f"{type(base).__name__} has no event_ndims: it can't be masked."
        )
    return event_ndims
