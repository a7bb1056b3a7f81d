"""The Bernoulli distribution."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from vaejax.base import Distribution, Key
from vaejax.distributions.noise import noise, sum_event
from vaejax.distributions.softplus import softplus


@struct.dataclass
class Bernoulli(Distribution):
    """Independent coin flips with probability sigmoid(logits) of a 1.

    Attributes:
      logits: log odds, `[*batch_shape, *event_shape]`.
      event_ndims: how many trailing axes `log_prob` sums; 0 gives the unsummed terms.
    """

    support: ClassVar[str] = "binary"

    logits: jax.Array
    event_ndims: int = struct.field(pytree_node=False, default=1)

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws zeros and ones, in the dtype of `logits`; not differentiable."""
        shape = jnp.shape(self.logits)
        u = noise(jax.random.uniform, key, sample_shape, shape, self.event_ndims)
        return (u < self.mean()).astype(self.logits.dtype)

    def log_prob(self, value: jax.Array) -> jax.Array:
        r"""Log mass in nats, `[..., *batch_shape]`: :math:`x l - \log(1 + e^l)`.

        Finite for every finite logit. A value strictly between 0 and 1 gives a cross
        entropy, which is a loss but no log mass.
        """
        terms = value * self.logits - softplus(self.logits)
        return sum_event(terms, self.event_ndims)

    def mean(self) -> jax.Array:
        """The probability of a 1, `[*batch_shape, *event_shape]`."""
        return jax.nn.sigmoid(self.logits)

    def mode(self) -> jax.Array:
        """The likelier of 0 and 1, in the dtype of `logits`."""
        return (self.logits > 0).astype(self.logits.dtype)
