"""The radial-flow posterior."""

from vaejax import flows
from vaejax.base import Family
from vaejax.networks import Network
from vaejax.posteriors.flow import flow


def radial(
    encoder: Network, latent_dim: int, *, num_flows: int = 4, context_dim: int = 64
) -> Family:
    """q(z|x): a diagonal normal pushed through radial flows that x tells.

    Args:
      encoder: a flax.linen module or a pair `(init, apply)`, x `[B, ...]` to features.
      latent_dim: D, at least 1.
      num_flows: at least 1.
      context_dim: numbers between the encoder's features and the parameters of the
        flows, both affine; 0: the flows are the same for every x.

    Returns:
      A `Family` of `Transformed` (see `flow`); use `rate=sampled`.

    References:
      Rezende and Mohamed, 2015, https://arxiv.org/abs/1505.05770.
    """
    return flow(
        encoder,
        latent_dim,
        flow=flows.radial,
        num_flows=num_flows,
        context_dim=context_dim,
    )
