"""The inverse-autoregressive-flow posterior."""

import functools
from collections.abc import Sequence

from vaejax import flows
from vaejax.base import Family
from vaejax.networks import Network
from vaejax.posteriors.flow import flow


def iaf(
    encoder: Network,
    latent_dim: int,
    *,
    num_flows: int = 4,
    hidden: Sequence[int] = (320,),
    context_dim: int = 64,
) -> Family:
    """q(z|x): a diagonal normal pushed through gated inverse autoregressive flows.

    A draw and its density take one pass; the density of a foreign point, which
    `rate=path_derivative` or a VampPrior asks for, D passes for each flow.

    Args:
      encoder: a flax.linen module or a pair `(init, apply)`, x `[B, ...]` to features.
      latent_dim: D, at least 1.
      num_flows: at least 1; the order of the coordinates is reversed between them.
      hidden: the widths of the masked network of each flow.
      context_dim: numbers in the context h that the encoder gives to every flow.

    Returns:
      A `Family` of `Transformed` (see `flow`); use `rate=sampled`.

    References:
      Kingma et al., 2016, https://arxiv.org/abs/1606.04934, equations 12 to 14.
    """
    return flow(
        encoder,
        latent_dim,
        flow=functools.partial(flows.inverse_autoregressive, hidden=hidden),
        num_flows=num_flows,
        context_dim=context_dim,
    )
