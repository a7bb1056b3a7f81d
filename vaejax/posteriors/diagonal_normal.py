"""The diagonal normal posterior of the first VAE."""

from typing import Any

import jax
import jax.numpy as jnp

from vaejax.base import Distribution, Family
from vaejax.distributions import Normal
from vaejax.networks import Network, headed

MIN_SCALE = 1e-4  # keeps log q(z|x) finite however sure the encoder is


def diagonal_normal(encoder: Network, latent_dim: int) -> Family:
    r"""q(z|x) = N(loc(x), diag(scale(x))^2).

    Loc and scale are an affine map of the encoder's features, the scale through
    :math:`\log(1 + e^r) + 10^{-4}`.

    Args:
      encoder: a flax.linen module or a pair `(init, apply)`, x `[B, ...]` to features.
      latent_dim: D, at least 1.

    Returns:
      A `Family` of `Normal` with batch shape `[B]` and event shape `[D]`.

    Raises:
      ValueError: if `latent_dim` is less than 1.

    References:
      Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114, equation 9.
    """
    network = headed(encoder, 2 * latent_dim)

    def make(params: Any, x: Any) -> Distribution:
        loc, raw = jnp.split(network.apply(params, x), 2, axis=-1)  # each [B, D]
        return Normal(loc, jax.nn.softplus(raw) + MIN_SCALE)

    return Family(network.init, make)
