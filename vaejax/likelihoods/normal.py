"""The likelihood of real-valued data."""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import struct

from vaejax.base import Distribution, Family, Key
from vaejax.batch import global_mean
from vaejax.distributions import Normal
from vaejax.moving_average import NAME, toward
from vaejax.networks import Network, decoded

MIN_SCALE = 1e-3  # a learned or optimal scale never falls below it
DECAY = 0.99  # of the running optimal variance


def normal(
    decoder: Network,
    event_shape: tuple[int, ...],
    *,
    scale: float | Literal["learned", "per_dimension", "optimal"] = 1.0,
) -> Family:
    r"""p(x|z) = N(loc(z), scale^2), independent over the elements of x given z.

    Args:
      decoder: a flax.linen module or a pair `(init, apply)`, z `[N, D]` to features.
      event_shape: the shape of one x.
      scale: the standard deviation, in the units of x. A number is fixed; `"learned"`
        is one parameter; `"per_dimension"` one for each element of x; `"optimal"` the
        maximum-likelihood scale of the batch (see `OptimalNormal`).

    Returns:
      A `Family` of `Normal` (or `OptimalNormal`) whose batch shape is the leading axes
      of z.

    Raises:
      ValueError: if `scale` is a number that is not positive, or an unknown name.

    References:
      Rybkin et al., 2021, https://arxiv.org/abs/2006.13202 (the optimal scale).
    """
    if isinstance(scale, str) and scale not in ("learned", "per_dimension", "optimal"):
        raise ValueError(
            "scale must be a positive number, 'learned', 'per_dimension' or 'optimal', "
            f"got {scale!r}."
        )
    if isinstance(scale, int | float) and not 0 < scale < math.inf:
        raise ValueError(f"scale must be positive and finite, got {scale}.")
    network, event_ndims = decoded(decoder, event_shape), len(event_shape)

    def init(key: Key, z: Any) -> Any:
        params: dict[str, Any] = {"decoder": network.init(key, z)}
        if scale == "optimal":
            params[NAME] = {"variance": jnp.ones(())}
        elif isinstance(scale, str):
            shape = event_shape if scale == "per_dimension" else ()
            params["raw_scale"] = jnp.full(shape, RAW_ONE)
        return params

    def make(params: Any, z: Any) -> Distribution:
        loc = network.apply(params["decoder"], z)
        if scale == "optimal":
            return OptimalNormal(loc, params[NAME]["variance"], event_ndims)
        if isinstance(scale, str):
            learned = jax.nn.softplus(params["raw_scale"]) + MIN_SCALE
            return Normal(loc, learned, event_ndims)
        return Normal(loc, jnp.asarray(scale), event_ndims)

    return Family(init, make)


RAW_ONE = math.log(math.expm1(1 - MIN_SCALE))  # where a learned scale starts: at 1


@struct.dataclass
class OptimalNormal(Distribution):
    r"""A normal whose scale is profiled out of the training loss.

    The scale that maximises the likelihood of a batch is the root mean squared error:

    .. math:: \sigma^{*2} = \frac{1}{BD} \sum_{b,d} (x_{bd} - \text{loc}_{bd})^2

    `distortion`, what training minimises, uses :math:`\sigma^*` of the global batch;
    its mean is :math:`\frac D2 (\log 2 \pi \sigma^{*2} + 1)`. The gradient through
    :math:`\sigma^*` vanishes on average (it is a maximum), so none is taken. Since
    :math:`\sigma^*` has seen x, that is no density: `log_prob` and `sample` use the
    running `variance`, a constant of the train state, and every reported ELBO or
    likelihood does.

    Attributes:
      loc: mean, `[*batch_shape, *event_shape]`.
      variance: running average of the optimal variance, `[]`.
      event_ndims: how many trailing axes are the event.

    References:
      Rybkin et al., 2021, https://arxiv.org/abs/2006.13202, section 4.
    """

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

    def distortion(self, value: jax.Array) -> jax.Array:
        """The profile loss `[..., B]` in nats; it also moves `variance`."""
        optimal = jax.lax.stop_gradient(global_mean(jnp.mean((value - self.loc) ** 2)))
        scale = jnp.sqrt(jnp.maximum(optimal, MIN_SCALE**2))
        best = Normal(self.loc, scale, self.event_ndims)
        return -best.log_prob(value) + toward(self.variance, optimal, DECAY)
