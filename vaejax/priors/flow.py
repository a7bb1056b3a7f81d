"""A prior made of any invertible flow."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from vaejax import flows
from vaejax.base import Distribution, Family, Key
from vaejax.batch import Shared
from vaejax.distributions import Normal


def flow(
    latent_dim: int,
    *,
    flow: Callable[..., flows.Flow] = flows.affine_coupling,
    num_flows: int = 4,
) -> Family:
    r"""p(z): a standard normal pushed through flows, trained with the rest.

    .. math:: \log p(z) = \log N(f^{-1}(z); 0, I) + \log|\det \partial f^{-1}|

    At first it is close to N(0, I), except that `inverse_autoregressive` starts with
    its gates half closed. There is no closed form of the KL divergence: use
    `rate=sampled` or `path_derivative`.

    Args:
      latent_dim: D, at least 1.
      flow: a factory of `vaejax.flows` with an inverse. The densities of
        `inverse_autoregressive`, and the draws of `masked_autoregressive`, take D
        passes for each flow.
      num_flows: at least 1; the order of the coordinates is reversed between them.

    Returns:
      A `Family` of `Transformed` with batch shape `[]` and event shape `[D]`.

    Raises:
      ValueError: if a count is less than 1, if the flow runs forward only, or at
        `init` if it does not serve in D dimensions.

    References:
      Chen et al., 2017, https://arxiv.org/abs/1611.02731.
    """
    if latent_dim < 1 or num_flows < 1:
        raise ValueError(
            "latent_dim and num_flows must be at least 1, got "
            f"{latent_dim} and {num_flows}."
        )
    kind = flow()
    if kind.inverse is None:
        raise ValueError(
            "A prior needs the density of any z, and this flow runs forward only: use "
            "affine_coupling, spline_coupling, masked_autoregressive or linear."
        )
    flow_of_all = flows.repeat(kind, num_flows)

    def init(key: Key, x: Any) -> Any:
        return flow_of_all.init(key, latent_dim, 0)

    def make(params: Any, encode: Any) -> Distribution:
        base = Normal(jnp.zeros(latent_dim), jnp.ones(latent_dim))
        return flows.Transformed(base, Shared(params), flow_of_all)

    return Family(init, make)
