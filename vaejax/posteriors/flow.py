"""A posterior made of any flow."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from vaejax import flows
from vaejax.base import Distribution, Family, Key, split
from vaejax.batch import Shared
from vaejax.distributions import Normal
from vaejax.distributions.bounded_scale import bounded_scale
from vaejax.networks import Network, headed


def flow(
    encoder: Network,
    latent_dim: int,
    *,
    flow: Callable[..., flows.Flow] = flows.affine_coupling,
    num_flows: int = 4,
    context_dim: int = 64,
) -> Family:
    r"""q(z|x): a diagonal normal pushed through flows that also see x.

    .. math:: z_0 \sim N(\text{loc}(x), \text{diag}(\text{scale}(x))^2), \quad
              z = f_N(\cdots f_1(z_0, h(x)) \cdots, h(x))

    Loc, scale (as in `diagonal_normal`) and the context h are an affine map of the
    encoder's features. The order of the coordinates is reversed between flows. There
    is no closed form of the KL divergence: use `rate=sampled`, or `path_derivative`
    if the flow has an inverse.

    Args:
      encoder: a flax.linen module or a pair `(init, apply)`, x `[B, ...]` to features.
      latent_dim: D, at least 1.
      flow: any factory of `vaejax.flows`.
      num_flows: N, at least 1.
      context_dim: numbers in h; 0 gives the flows no context.

    Returns:
      A `Family` of `Transformed` with batch shape `[B]` and event shape `[D]`.

    Raises:
      ValueError: if an argument is out of its range, or at `init` if the flow does not
        serve in D dimensions.

    References:
      Rezende and Mohamed, 2015, https://arxiv.org/abs/1505.05770.
    """
    if latent_dim < 1:
        raise ValueError(f"latent_dim must be at least 1, got {latent_dim}.")
    if num_flows < 1 or context_dim < 0:
        raise ValueError(
            "num_flows must be at least 1 and context_dim at least 0, got "
            f"{num_flows} and {context_dim}."
        )
    flow_of_all = flows.repeat(flow(), num_flows)
    network = headed(encoder, 2 * latent_dim + context_dim)

    def init(key: Key, x: Any) -> Any:
        encoder_key, flow_key = split(key)
        return {
            "encoder": network.init(encoder_key, x),
            "flow": flow_of_all.init(flow_key, latent_dim, context_dim),
        }

    def make(params: Any, x: Any) -> Distribution:
        loc, raw, context = jnp.split(
            network.apply(params["encoder"], x), [latent_dim, 2 * latent_dim], axis=-1
        )  # [B, D], [B, D], [B, C]
        return flows.Transformed(
            Normal(loc, bounded_scale(raw)),
            Shared(params["flow"]),
            flow_of_all,
            context if context_dim else None,
        )

    return Family(init, make)
