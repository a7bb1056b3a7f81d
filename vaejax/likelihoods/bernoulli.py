"""The likelihood of binary data."""

from typing import Any

from vaejax.base import Distribution, Family
from vaejax.distributions import Bernoulli
from vaejax.networks import Network, decoded


def bernoulli(decoder: Network, event_shape: tuple[int, ...]) -> Family:
    """p(x|z): every element of x is 0 or 1, independent of the others given z.

    Args:
      decoder: a flax.linen module or a pair `(init, apply)`, z `[N, D]` to features.
      event_shape: the shape of one x.

    Returns:
      A `Family` of `Bernoulli` whose batch shape is the leading axes of z.

    References:
      Kingma and Welling, 2014, https://arxiv.org/abs/1312.6114, equation 11.
    """
    network = decoded(decoder, event_shape)

    def make(params: Any, z: Any) -> Distribution:
        return Bernoulli(network.apply(params, z), event_ndims=len(event_shape))

    return Family(network.init, make)
