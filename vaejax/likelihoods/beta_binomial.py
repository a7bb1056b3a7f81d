"""The likelihood of counts with a largest value."""

from typing import Any

from vaejax.base import Distribution, Family
from vaejax.distributions import BetaBinomial, Levels
from vaejax.distributions.softplus import positive
from vaejax.networks import Network, decoded

MIN_COUNT = 1e-3  # of pseudo-successes, and of pseudo-failures


def beta_binomial(
    decoder: Network,
    event_shape: tuple[int, ...],
    *,
    total_count: int = 255,
    counts: bool = False,
) -> Family:
    r"""p(x|z): successes in n trials, whose probability is drawn from a beta.

    .. math:: p(k) = \binom n k \frac{B(k + a, n - k + b)}{B(a, b)}

    For the levels of an image, x = k / n, where it may have one peak, or one at each
    end; or for counts out of n, x = k. With the decoder's outputs r,
    a = 0.001 + softplus(r_1) and b = 0.001 + softplus(r_2). It is no narrower than a
    binomial, whose standard deviation is :math:`\sqrt n / 2` in the middle.

    Args:
      decoder: a flax.linen module or a pair `(init, apply)`, z `[N, D]` to features.
      event_shape: the shape of one x.
      total_count: n, at least 1: the largest integer that is stored, 255 for bytes.
      counts: whether values are the k themselves, and not levels k / n.

    Returns:
      A `Family` of `Levels` or `BetaBinomial` whose batch shape is the leading axes of
      z; in float32 its masses sum to 1 within 1e-5. Finite with its gradient for
      outputs up to 10,000 in size.

    Raises:
      ValueError: if `total_count` is less than 1.

    References:
      Townsend et al., 2019, https://arxiv.org/abs/1901.04866.
    """
    if total_count < 1:
        raise ValueError(f"total_count must be at least 1, got {total_count}.")
    network, event_ndims = decoded(decoder, event_shape, 2), len(event_shape)

    def make(params: Any, z: Any) -> Distribution:
        raw = positive(network.apply(params, z), MIN_COUNT)  # [..., *event_shape, 2]
        numbers = BetaBinomial(raw[..., 0], raw[..., 1], total_count, event_ndims)
        return numbers if counts else Levels(numbers, total_count + 1, event_ndims)

    return Family(network.init, make)
