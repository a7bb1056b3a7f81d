"""No posterior at all: the code of a deterministic auto-encoder."""

from typing import Any

from vaejax.base import Distribution, Family
from vaejax.distributions import PointMass
from vaejax.networks import Network, headed


def point_mass(encoder: Network, latent_dim: int) -> Family:
    """q(z|x) with all its mass on one code z(x), an affine map of the features.

    It has no density, hence no rate: train it with `objectives.reconstruction`.

    Args:
      encoder: a flax.linen module or a pair `(init, apply)`, x `[B, ...]` to features.
      latent_dim: D, at least 1.

    Returns:
      A `Family` of `PointMass` with batch shape `[B]` and event shape `[D]`.

    Raises:
      ValueError: if `latent_dim` is less than 1.
    """
    if latent_dim < 1:
        raise ValueError(f"latent_dim must be at least 1, got {latent_dim}.")
    network = headed(encoder, latent_dim)

    def make(params: Any, x: Any) -> Distribution:
        return PointMass(network.apply(params, x))

    return Family(network.init, make)
