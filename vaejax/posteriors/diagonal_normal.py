"""The diagonal normal posterior of the first VAE."""

from typing import Any

import jax.numpy as jnp

from vaejax.base import Distribution, Family
from vaejax.distributions import Normal
from vaejax.distributions.bounded_scale import bounded_scale
from vaejax.networks import Network, headed


def diagonal_normal(encoder: Network, latent_dim: int) -> Family:
    r"""q(z|x) = N(loc(x), diag(scale(x))^2).

    Loc and r are an affine map of the encoder's features, and
    :math:`\log \text{scale} = 7 \tanh(r / 14)`: near 0, r is the log-variance of the
    paper; however sure the encoder is, the scale stays between :math:`e^{-7}` and
    :math:`e^7`.

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
    if latent_dim < 1:
        raise ValueError(f"latent_dim must be at least 1, got {latent_dim}.")
    network = headed(encoder, 2 * latent_dim)

    def make(params: Any, x: Any) -> Distribution:
        loc, raw = jnp.split(network.apply(params, x), 2, axis=-1)  # each [B, D]
        return Normal(loc, bounded_scale(raw))

    return Family(network.init, make)
