"""The likelihood of real-valued data."""

from typing import Any, Literal

import jax.numpy as jnp

from vaejax.base import Distribution, Family, Key
from vaejax.distributions import Normal, OptimalNormal
from vaejax.likelihoods.scale import Scale, scale_of
from vaejax.moving_average import NAME
from vaejax.networks import Network, decoded

OPTIMAL = Scale(  # the running variance of the best scale
    lambda: {NAME: {"variance": jnp.ones(())}}, lambda params: params[NAME]["variance"]
)


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
    network, event_ndims = decoded(decoder, event_shape), len(event_shape)
    own = OPTIMAL if scale == "optimal" else scale_of(scale, event_shape, ("optimal",))

    def init(key: Key, z: Any) -> Any:
        return {"decoder": network.init(key, z)} | own.init()

    def make(params: Any, z: Any) -> Distribution:
        loc = network.apply(params["decoder"], z)
        if scale == "optimal":
            return OptimalNormal(loc, own.value(params), event_ndims)
        return Normal(loc, own.value(params), event_ndims)

    return Family(init, make)
