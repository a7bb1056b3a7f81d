"""The Sylvester-flow posterior."""

import functools

from vaejax import flows
from vaejax.base import Family
from vaejax.networks import Network
from vaejax.posteriors.flow import flow


def sylvester(
    encoder: Network,
    latent_dim: int,
    *,
    num_flows: int = 4,
    num_ortho: int = 8,
    context_dim: int = 64,
) -> Family:
    """q(z|x): a diagonal normal pushed through Sylvester flows that x tells.

    Args:
      encoder: a flax.linen module or a pair `(init, apply)`, x `[B, ...]` to features.
      latent_dim: D, at least 1.
      num_flows: at least 1.
      num_ortho: M, orthogonal directions of a flow, at least 1; in D < M dimensions
        it is D.
      context_dim: numbers between the encoder's features and the parameters of the
        flows, both affine; 0: the flows are the same for every x.

    Returns:
      A `Family` of `Transformed` (see `flow`); use `rate=sampled`.

    References:
      van den Berg et al., 2018, https://arxiv.org/abs/1803.05649.
    """
    return flow(
        encoder,
        latent_dim,
        flow=functools.partial(flows.sylvester, num_ortho=num_ortho),
        num_flows=num_flows,
        context_dim=context_dim,
    )
