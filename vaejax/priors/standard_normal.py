"""The prior of the first VAE."""

import jax.numpy as jnp

from vaejax.base import Family, nothing
from vaejax.distributions import Normal


def standard_normal(latent_dim: int) -> Family:
    """p(z) = N(0, I), with nothing to learn.

    Args:
      latent_dim: D, at least 1.

    Returns:
      A `Family` of `Normal` with batch shape `[]` and event shape `[D]`.

    Raises:
      ValueError: if `latent_dim` is less than 1.
    """
    if latent_dim < 1:
        raise ValueError(f"latent_dim must be at least 1, got {latent_dim}.")
    return Family(
        nothing,
        lambda params, encode: Normal(jnp.zeros(latent_dim), jnp.ones(latent_dim)),
    )
