"""The likelihood of grey images read as real numbers between 0 and 1."""

from typing import Any

from vaejax.base import Distribution, Family
from vaejax.distributions import ContinuousBernoulli
from vaejax.networks import Network, decoded


def continuous_bernoulli(decoder: Network, event_shape: tuple[int, ...]) -> Family:
    r"""p(x|z): every element of x has the density :math:`C(l) e^{l x}` on [0, 1].

    The decoder's output is l. The cross entropy :math:`x l - \log(1 + e^l)` of grey x,
    which a Bernoulli gives, is no log-likelihood: its exponential does not integrate to
    1, and its minimiser is another. Here the normaliser is there, and the mean is not
    sigmoid(l) but nearer to 1/2.

    For grey data whose values have no gaps. A density has no bound: a pixel that is 0
    (or 1) in every image is ever more likely as l falls, by log |l|. Whoever compares
    numbers should choose a likelihood of levels for stored images, such as
    `discretized_logistic`, or dequantise them.

    Args:
      decoder: a flax.linen module or a pair `(init, apply)`, z `[N, D]` to features.
      event_shape: the shape of one x.

    Returns:
      A `Family` of `ContinuousBernoulli` whose batch shape is the leading axes of z;
      finite with its gradient for outputs up to 10,000 in size.

    References:
      Loaiza-Ganem and Cunningham, 2019, https://arxiv.org/abs/1907.06845, section 3.
    """
    network = decoded(decoder, event_shape)

    def make(params: Any, z: Any) -> Distribution:
        return ContinuousBernoulli(network.apply(params, z), len(event_shape))

    return Family(network.init, make)
