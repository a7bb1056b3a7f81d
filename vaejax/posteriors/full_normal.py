"""The normal posterior with a full covariance."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from vaejax.base import Distribution, Family
from vaejax.distributions import FullNormal
from vaejax.distributions.bounded_scale import bounded_scale
from vaejax.networks import Network, headed


def full_normal(encoder: Network, latent_dim: int) -> Family:
    r"""q(z|x) = N(loc(x), L(x) L(x)^T), L lower triangular.

    Loc, the numbers below the diagonal of L and r are an affine map of the encoder's
    features; the diagonal is :math:`\exp(7 \tanh(r / 14))`, as the scale of
    `diagonal_normal`, which this is where all below the diagonal is 0. The diagonal is
    the scale of each latent given those before it. The head has D (D + 3) / 2 outputs.

    Args:
      encoder: a flax.linen module or a pair `(init, apply)`, x `[B, ...]` to features.
      latent_dim: D, at least 1.

    Returns:
      A `Family` of `FullNormal` with batch shape `[B]` and event shape `[D]`.

    Raises:
      ValueError: if `latent_dim` is less than 1.

    References:
      Kingma and Welling, 2019, https://arxiv.org/abs/1906.02691, section 2.5.1,
      equation 2.54.
    """
    if latent_dim < 1:
        raise ValueError(f"latent_dim must be at least 1, got {latent_dim}.")
    rows, columns = np.tril_indices(latent_dim, -1)
    network = headed(encoder, 2 * latent_dim + len(rows))

    def make(params: Any, x: Any) -> Distribution:
        outputs = network.apply(params, x)
        loc, raw, below = jnp.split(outputs, [latent_dim, 2 * latent_dim], axis=-1)
        scale = bounded_scale(raw)  # [B, D]
        scale_tril = scale[..., None] * jnp.eye(latent_dim)  # [B, D, D]
        return FullNormal(loc, scale_tril.at[..., rows, columns].set(below))

    return Family(network.init, make)
