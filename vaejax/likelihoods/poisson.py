"""The likelihood of counts without a largest value."""

from typing import Any

from vaejax.base import Distribution, Family
from vaejax.distributions import Poisson
from vaejax.distributions.softplus import positive
from vaejax.networks import Network, decoded

MIN_RATE = 1e-6  # of any count


def poisson(decoder: Network, event_shape: tuple[int, ...]) -> Family:
    r"""p(x|z): every element of x is a count, whose variance is its mean.

    .. math:: p(x) = m^x e^{-m} / x!, \quad m = 10^{-6} + \log(1 + e^r)

    with the decoder's outputs r. For events that happen one by one: photons, spikes,
    words, reads. Most counts vary more than that: see `negative_binomial`.

    Args:
      decoder: a flax.linen module or a pair `(init, apply)`, z `[N, D]` to features.
      event_shape: the shape of one x.

    Returns:
      A `Family` of `Poisson` whose batch shape is the leading axes of z; in float32 its
      masses sum to 1 within 1e-5. Finite with its gradient for outputs up to 10,000 in
      size and counts up to a million.
    """
    network = decoded(decoder, event_shape)

    def make(params: Any, z: Any) -> Distribution:
        rate = positive(network.apply(params, z), MIN_RATE)
        return Poisson(rate, len(event_shape))

    return Family(network.init, make)
