"""The likelihood of the grey levels of an image."""

from typing import Any

import jax

from vaejax.base import Distribution, Family
from vaejax.distributions import DiscretizedLogistic
from vaejax.distributions.softplus import positive
from vaejax.networks import Network, decoded


def level_scale(raw: jax.Array, num_levels: int) -> jax.Array:
    """A scale above a tenth of the step between levels; 0.13 at 0, far above that.

    At a tenth a level at the centre has 0.99 of the mass.
    """
    return positive(raw - 2, 0.1 / (num_levels - 1))


def discretized_logistic(
    decoder: Network, event_shape: tuple[int, ...], *, num_levels: int = 256
) -> Family:
    r"""p(x|z): every element of x is one of L levels, a logistic rounded to them.

    .. math:: p(x) = \sigma\left(\frac{x + h - \text{loc}}{\text{scale}}\right)
        - \sigma\left(\frac{x - h - \text{loc}}{\text{scale}}\right),
        \quad h = \frac{1}{2 (L - 1)}

    with open ends at 0 and 1. For images of grey or of colours with independent
    channels, x = k / (L - 1), k = 0, ..., L - 1. It is the log mass of the stored
    integers, so it compares with `categorical` and `beta_binomial`, and divides by
    log 2 to bits.

    With the decoder's outputs r, loc = 1/2 + r_1 and scale = 0.1 / (L - 1)
    + softplus(r_2 - 2), for each element its own.

    Args:
      decoder: a flax.linen module or a pair `(init, apply)`, z `[N, D]` to features.
      event_shape: the shape of one x.
      num_levels: L, at least 2: one more than the largest integer that is stored, 256
        for bytes.

    Returns:
      A `Family` of `DiscretizedLogistic` whose batch shape is the leading axes of z; in
      float32 its masses sum to 1 within 1e-5. Finite with its gradient for outputs up
      to 10,000 in size.

    Raises:
      ValueError: if `num_levels` is less than 2.

    References:
      Kingma et al., 2016, https://arxiv.org/abs/1606.04934.
    """
    if num_levels < 2:
        raise ValueError(f"num_levels must be at least 2, got {num_levels}.")
    network = decoded(decoder, event_shape, 2)

    def make(params: Any, z: Any) -> Distribution:
        raw = network.apply(params, z)  # [..., *event_shape, 2]
        loc, scale = 0.5 + raw[..., 0], level_scale(raw[..., 1], num_levels)
        return DiscretizedLogistic(loc, scale, num_levels, len(event_shape))

    return Family(network.init, make)
