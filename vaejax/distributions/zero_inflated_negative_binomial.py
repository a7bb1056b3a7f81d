"""The zero-inflated negative binomial distribution."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from vaejax.base import Distribution, Key, split
from vaejax.distributions.negative_binomial import NegativeBinomial
from vaejax.distributions.noise import noise, sum_event
from vaejax.distributions.softplus import softplus


@struct.dataclass
class ZeroInflatedNegativeBinomial(Distribution):
    r"""A negative binomial whose counts are lost, read as 0, with probability pi.

    .. math:: p(x) = \pi [x = 0] + (1 - \pi)\, \mathrm{NB}(x; \mu, \theta)

    `drop_logits` -> -infinity is the negative binomial.

    Attributes:
      rate: mu, the mean of the negative binomial, `[*batch_shape, *event_shape]`.
      concentration: theta, its inverse dispersion, broadcasts against `rate`.
      drop_logits: log odds of pi, of the shape of `rate`.
      event_ndims: how many trailing axes `log_prob` sums; 0 gives the unsummed terms.
    """

    support: ClassVar[str] = "counts"

    rate: jax.Array
    concentration: jax.Array
    drop_logits: jax.Array
    event_ndims: int = struct.field(pytree_node=False, default=1)

    def kept(self, event_ndims: int) -> NegativeBinomial:
        """The negative binomial."""
        return NegativeBinomial(self.rate, self.concentration, event_ndims)

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws counts, in the dtype of `rate`; not differentiable."""
        count_key, drop_key = split(key)
        count = self.kept(self.event_ndims).sample(count_key, sample_shape)
        shape = jnp.broadcast_shapes(jnp.shape(self.rate), jnp.shape(self.drop_logits))
        u = noise(jax.random.uniform, drop_key, sample_shape, shape, self.event_ndims)
        return jnp.where(u < jax.nn.sigmoid(self.drop_logits), 0, count)

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log mass in nats, `[..., *batch_shape]`."""
        log_drop, log_keep = -softplus(-self.drop_logits), -softplus(self.drop_logits)
        kept = log_keep + self.kept(event_ndims=0).log_prob(value)
        terms = jnp.where(value == 0, jnp.logaddexp(log_drop, kept), kept)
        return sum_event(terms, self.event_ndims)

    def mean(self) -> jax.Array:
        r"""The expectation, :math:`(1 - \pi) \mu`."""
        return jax.nn.sigmoid(-self.drop_logits) * self.rate

    def mode(self) -> jax.Array:
        """The likelier of 0 and the mode of the negative binomial."""
        mode, terms = self.kept(event_ndims=0).mode(), self.replace(event_ndims=0)
        zero = jnp.zeros_like(mode)
        return jnp.where(terms.log_prob(mode) > terms.log_prob(zero), mode, zero)
