"""A normal whose scale training fits to the batch."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import struct

from vaejax.base import Distribution, Key
from vaejax.batch import global_mean
from vaejax.distributions.normal import Normal
from vaejax.moving_average import toward

MIN_SCALE = 1e-3  # the optimal scale never falls below it
DECAY = 0.99  # of the running variance


@struct.dataclass
class OptimalNormal(Distribution):
    r"""A normal whose scale is profiled out of the training loss.

    The scale that maximises the likelihood of a batch is the root mean squared error:

    .. math:: \sigma^{*2} = \frac{1}{BD} \sum_{b,d} (x_{bd} - \text{loc}_{bd})^2

    `distortion`, what training minimises, uses :math:`\sigma^*` of the global batch;
    its mean is :math:`\frac D2 (\log 2 \pi \sigma^{*2} + 1)`. The gradient through
    :math:`\sigma^*` vanishes on average (it is a maximum), so none is taken; a bound
    of several weighted particles has its maximum elsewhere, and takes this one too.
    Since :math:`\sigma^*` has seen x, that is no density: `log_prob` and `sample` use
    the running `variance`, a constant of the train state, and every reported ELBO or
    likelihood does.

    Attributes:
      loc: mean, `[*batch_shape, *event_shape]`.
      variance: running average of the optimal variance, `[]`.
      event_ndims: how many trailing axes are the event.

    References:
      Rybkin et al., 2021, https://arxiv.org/abs/2006.13202, section 4.
    """

    fits_batch: ClassVar[bool] = True

    loc: jax.Array
    variance: jax.Array
    event_ndims: int = struct.field(pytree_node=False, default=1)

    def running(self) -> Normal:
        """The normal with the running scale."""
        scale = jnp.sqrt(jnp.maximum(self.variance, MIN_SCALE**2))
        return Normal(self.loc, jax.lax.stop_gradient(scale), self.event_ndims)

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws with the running scale."""
        return self.running().sample(key, sample_shape)

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log density in nats with the running scale, `[..., *batch_shape]`."""
        return self.running().log_prob(value)

    def mean(self) -> jax.Array:
        """The expectation, `[*batch_shape, *event_shape]`."""
        return self.loc

    def mode(self) -> jax.Array:
        """The mode, which is the mean."""
        return self.loc

    def distortion(self, value: jax.Array) -> jax.Array:
        """The profile loss `[..., B]` in nats; it also moves `variance`."""
        optimal = jax.lax.stop_gradient(global_mean(jnp.mean((value - self.loc) ** 2)))
        scale = jnp.sqrt(jnp.maximum(optimal, MIN_SCALE**2))
        best = Normal(self.loc, scale, self.event_ndims)
        return -best.log_prob(value) + toward(self.variance, optimal, DECAY)
