"""The likelihood of real-valued data."""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp

from vaejax.base import Distribution, Family, Key
from vaejax.distributions import Normal, OptimalNormal
from vaejax.moving_average import NAME
from vaejax.networks import Network, decoded

MIN_SCALE = 1e-3  # a learned scale never falls below it
RAW_ONE = math.log(math.expm1(1 - MIN_SCALE))  # where it starts: at 1


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
            params["raw_scale"] = jnp.full(shape, RAW_ONE, float)
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
