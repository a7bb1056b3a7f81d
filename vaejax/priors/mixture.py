"""A mixture of normals, which also finds clusters."""

from typing import Any

import jax
import jax.numpy as jnp

from vaejax.base import Distribution, Family, Key
from vaejax.distributions import Mixture, Normal
from vaejax.distributions.bounded_scale import bounded_scale


def mixture(latent_dim: int, *, num_components: int = 10) -> Family:
    r"""p(z) = sum_c p(c) N(z; loc_c, diag(scale_c)^2), all learned.

    It starts with equal weights, locs drawn from N(0, I) and scales of 1. Its rate has
    no closed form: train with `rate=sampled`.

    It clusters as VaDE does. There q(z, c|x) = q(z|x) p(c|z), which is optimal for c,
    and since p(z) = p(z, c) / p(c|z) for every c, the rate of the pair is

    .. math:: E\Big[\log \frac{q(z|x)\, p(c|z)}{p(z|c)\, p(c)}\Big]
              = E_{q(z|x)}[\log q(z|x) - \log p(z)],

    the sampled rate against the mixture, draw by draw. `Mixture.responsibilities` is
    p(c|z) and `evaluate.cluster_probabilities` its mean under q(z|x). Clusters that are
    to be classes need the start of VaDE: these parameters from a mixture fitted to the
    codes of a model trained before.

    Args:
      latent_dim: D, at least 1.
      num_components: how many normals, at least 1, which is `normal`.

    Returns:
      A `Family` of `Mixture` with batch shape `[]` and event shape `[D]`.

    Raises:
      ValueError: if a count is less than 1.

    References:
      Jiang et al., 2017, https://arxiv.org/abs/1611.05148, equation 16.
    """
    if min(latent_dim, num_components) < 1:
        raise ValueError(
            "latent_dim and num_components must be at least 1, got "
            f"{latent_dim} and {num_components}."
        )

    def init(key: Key, x: Any) -> Any:
        shape = num_components, latent_dim
        return {
            "logits": jnp.zeros(num_components),
            "loc": jax.random.normal(key, shape),
            "raw_scale": jnp.zeros(shape),
        }

    def make(params: Any, encode: Any) -> Distribution:
        components = Normal(params["loc"], bounded_scale(params["raw_scale"]))
        return Mixture(params["logits"], components)

    return Family(init, make)
