"""The categorical distribution."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from vaejax.base import Distribution, Key
from vaejax.distributions.noise import noise, sum_event


@struct.dataclass
class Categorical(Distribution):
    r"""One of the numbers 0, ..., K - 1, with probability softmax(logits).

    Attributes:
      logits: log probabilities up to a constant, `[*batch_shape, *event_shape, K]`.
      event_ndims: how many trailing axes `log_prob` sums, the K not counted; 0 gives
        the unsummed terms.
    """

    support: ClassVar[str] = "counts"

    logits: jax.Array
    event_ndims: int = struct.field(pytree_node=False, default=1)

    def num_values(self) -> int:
        """K."""
        return self.logits.shape[-1]

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws numbers in the dtype of `logits`: the maximum of logits + Gumbel."""
        shape, ndims = jnp.shape(self.logits), self.event_ndims + 1
        gumbel = noise(jax.random.gumbel, key, sample_shape, shape, ndims)
        return jnp.argmax(self.logits + gumbel, axis=-1).astype(self.logits.dtype)

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log mass in nats, `[..., *batch_shape]`; NaN at what is no such number."""
        index = jnp.round(value).astype(jnp.int32)[..., None]
        logits = self.logits
        num_new = index.ndim - logits.ndim
        logits = logits.reshape((1,) * num_new + logits.shape)
        index = index.reshape((1,) * -num_new + index.shape)
        chosen = jnp.take_along_axis(logits, index, axis=-1)[..., 0]
        known = (index >= 0) & (index < self.num_values())  # -1 is not the last one
        chosen = jnp.where(known[..., 0], chosen, jnp.nan)
        log_total = jax.nn.logsumexp(logits, axis=-1)
        return sum_event(chosen - log_total, self.event_ndims)

    def mean(self) -> jax.Array:
        """The expectation of the number, `[*batch_shape, *event_shape]`."""
        numbers = jnp.arange(self.num_values(), dtype=self.logits.dtype)
        return jnp.sum(jax.nn.softmax(self.logits) * numbers, axis=-1)

    def mode(self) -> jax.Array:
        """The likeliest number, in the dtype of `logits`."""
        return jnp.argmax(self.logits, axis=-1).astype(self.logits.dtype)
