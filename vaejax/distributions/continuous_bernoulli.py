"""The continuous Bernoulli distribution."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from vaejax.base import Distribution, Key
from vaejax.distributions.noise import noise, sum_event

NEAR = 0.5  # below this logit, in size, series replace what would lose its digits


@struct.dataclass
class ContinuousBernoulli(Distribution):
    r"""Densities :math:`p(x) \propto \lambda^x (1 - \lambda)^{1 - x}` on [0, 1].

    With the logit l of lambda, and its normaliser,

    .. math:: p(x) = e^{l x} \frac{l}{e^l - 1}
        = e^{l (x - 1/2)} \Big/ \frac{\sinh(l / 2)}{l / 2}

    At l = 0 it is uniform. In float32 `log_prob` is exact to 1e-6 |l| + 1e-6, and
    finite with its gradient for |l| up to 10,000.

    Attributes:
      logits: l, `[*batch_shape, *event_shape]`.
      event_ndims: how many trailing axes `log_prob` sums; 0 gives the unsummed terms.

    References:
      Loaiza-Ganem and Cunningham, 2019, https://arxiv.org/abs/1907.06845, section 3.
    """

    support: ClassVar[str] = "unit_interval"

    logits: jax.Array
    event_ndims: int = struct.field(pytree_node=False, default=1)

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        r"""The inverse distribution function :math:`\log(1 + u (e^l - 1)) / l` of u.

        Differentiable in `logits`. It is evaluated at -|l|, where nothing overflows.
        """
        shape = jnp.shape(self.logits)
        u = noise(jax.random.uniform, key, sample_shape, shape, self.event_ndims)
        logits = jnp.broadcast_to(self.logits, u.shape)
        flip, near = logits > 0, jnp.abs(logits) < 1e-2
        u = jnp.where(flip, jnp.minimum(1 - u, 1 - jnp.finfo(u.dtype).epsneg), u)
        logits = jnp.where(flip, -logits, logits)
        far = jnp.where(near, -1, logits)
        exact = jnp.log1p(u * jnp.expm1(far)) / far
        series = u + u * (1 - u) * logits * (1 / 2 + logits * (1 - 2 * u) / 6)
        x = jnp.where(near, series, exact)
        return jnp.where(flip, 1 - x, x)

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log density in nats, `[..., *batch_shape]`."""
        size = jnp.abs(self.logits)
        near = size < NEAR
        far = jnp.where(near, 1, size)
        exact = far / 2 - jnp.log(far) + jnp.log1p(-jnp.exp(-far))
        square = jnp.where(near, self.logits, 0) ** 2
        series = square * (1 / 24 + square * (-1 / 2880 + square / 181440))
        log_sinh = jnp.where(near, series, exact)  # of sinh(l / 2) / (l / 2)
        return sum_event(self.logits * (value - 0.5) - log_sinh, self.event_ndims)

    def mean(self) -> jax.Array:
        r"""The expectation :math:`1 / (1 - e^{-l}) - 1 / l`; 1/2 at l = 0."""
        size = jnp.abs(self.logits)
        near = size < NEAR
        far = jnp.where(near, 1, size)
        exact = jnp.sign(self.logits) * (-1 / jnp.expm1(-far) - 1 / far - 0.5)
        logits = jnp.where(near, self.logits, 0)
        square = logits**2
        series = logits * (1 / 12 + square * (-1 / 720 + square / 30240))
        return 0.5 + jnp.where(near, series, exact)

    def mode(self) -> jax.Array:
        """The likelier end of the interval, 0 or 1."""
        return (self.logits > 0).astype(self.logits.dtype)
