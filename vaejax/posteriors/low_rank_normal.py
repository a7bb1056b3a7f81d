"""The normal posterior whose latents correlate along a few directions."""

from typing import Any

import jax.numpy as jnp

from vaejax.base import Distribution, Family
from vaejax.distributions import LowRankNormal
from vaejax.distributions.bounded_scale import bounded_scale
from vaejax.networks import Network, headed


def low_rank_normal(encoder: Network, latent_dim: int, *, rank: int = 2) -> Family:
    r"""q(z|x) = N(loc(x), diag(scale(x))^2 + F(x) F(x)^T), F with `rank` columns.

    All are affine maps of the encoder's features, the scale bounded as in
    `diagonal_normal`, which this is at F = 0; at `rank=latent_dim` it reaches every
    covariance whose eigenvalues are above the least variance, as `full_normal` does.

    Args:
      encoder: a flax.linen module or a pair `(init, apply)`, x `[B, ...]` to features.
      latent_dim: D, at least 1.
      rank: R, columns of F, from 1 to `latent_dim`.

    Returns:
      A `Family` of `LowRankNormal` with batch shape `[B]` and event shape `[D]`.

    Raises:
      ValueError: if `latent_dim` is less than 1, or `rank` out of its range.

    References:
      Ong, Nott and Smith, 2018, https://arxiv.org/abs/1701.03208.
    """
    if latent_dim < 1:
        raise ValueError(f"latent_dim must be at least 1, got {latent_dim}.")
    if not 1 <= rank <= latent_dim:
        raise ValueError(f"rank must be from 1 to latent_dim {latent_dim}, got {rank}.")
    network = headed(encoder, (2 + rank) * latent_dim)

    def make(params: Any, x: Any) -> Distribution:
        outputs = network.apply(params, x)
        loc, raw, factor = jnp.split(outputs, [latent_dim, 2 * latent_dim], axis=-1)
        factor = factor.reshape(*factor.shape[:-1], latent_dim, rank)
        return LowRankNormal(loc, bounded_scale(raw), factor)

    return Family(network.init, make)
