"""The normal distribution with a diagonal covariance."""

import math

import jax
import jax.numpy as jnp
from flax import struct

from vaejax.base import Distribution, Key
from vaejax.distributions.noise import noise, sum_event


@struct.dataclass
class Normal(Distribution):
    r"""Independent normals, :math:`N(x; \text{loc}, \text{scale}^2)`.

    Attributes:
      loc: mean, `[*batch_shape, *event_shape]`.
      scale: standard deviation, positive, broadcasts against `loc`.
      event_ndims: how many trailing axes `log_prob` sums; 0 gives the unsummed terms.
    """

    loc: jax.Array
    scale: jax.Array
    event_ndims: int = struct.field(pytree_node=False, default=1)

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws `loc + scale * eps`, eps ~ N(0, 1): differentiable in both."""
        shape = jnp.broadcast_shapes(jnp.shape(self.loc), jnp.shape(self.scale))
        eps = noise(jax.random.normal, key, sample_shape, shape, self.event_ndims)
        return self.loc + self.scale * eps

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log density in nats, `[..., *batch_shape]`."""
        standardized = (value - self.loc) / self.scale
        terms = -0.5 * (standardized**2 + math.log(2 * math.pi)) - jnp.log(self.scale)
        return sum_event(terms, self.event_ndims)

    def mean(self) -> jax.Array:
        """The expectation, `[*batch_shape, *event_shape]`."""
        return self.loc

    def mode(self) -> jax.Array:
        """The mode, which is the mean."""
        return self.loc

    def tempered(self, temperature: float | jax.Array) -> "Normal":
        """The same, its deviations from the mean times `temperature`."""
        return self.replace(scale=temperature * self.scale)

    def kl_to(self, p: Distribution) -> jax.Array | None:
        r"""KL(self || p) for a normal p, `[*batch_shape]` in nats.

        The divergence does not change where p is shifted and scaled to N(0, 1).
        """
        if not isinstance(p, Normal):
            return None
        terms = kl_to_standard((self.loc - p.loc) / p.scale, self.scale / p.scale)
        return sum_event(terms, self.event_ndims)


def kl_to_standard(loc: jax.Array, scale: jax.Array) -> jax.Array:
    r"""KL(N(loc, scale^2) || N(0, 1)) of each number, in nats.

    :math:`\frac12 (e^{2\rho} - 1 - 2\rho + \mu^2)` with :math:`\rho = \log \sigma`:
    `expm1` keeps its digits near scale 1, where a posterior collapses; `log1p` of
    scale - 1 would keep no more of them, and lose those of far scales.
    """
    log_scale = jnp.log(scale)
    return 0.5 * (jnp.expm1(2 * log_scale) - 2 * log_scale + loc**2)
