"""A normal prior that is learned."""

from typing import Any

import jax.numpy as jnp

from vaejax.base import Distribution, Family, Key
from vaejax.distributions import Normal
from vaejax.distributions.bounded_scale import bounded_scale


def normal(latent_dim: int) -> Family:
    """p(z) = N(loc, diag(scale)^2), both learned; they start at `standard_normal`.

    With a decoder that begins and an encoder that ends with an affine layer it adds no
    freedom to the model, since these could do the same; the KL is in closed form.

    Args:
      latent_dim: D, at least 1.

    Returns:
      A `Family` of `Normal` with batch shape `[]` and event shape `[D]`.

    Raises:
      ValueError: if `latent_dim` is less than 1.
    """
    if latent_dim < 1:
        raise ValueError(f"latent_dim must be at least 1, got {latent_dim}.")

    def init(key: Key, x: Any) -> Any:
        return {"loc": jnp.zeros(latent_dim), "raw_scale": jnp.zeros(latent_dim)}

    def make(params: Any, encode: Any) -> Distribution:
        return Normal(params["loc"], bounded_scale(params["raw_scale"]))

    return Family(init, make)
