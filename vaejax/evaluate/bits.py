"""Nats to bits per dimension: the only place that divides by a number of pixels."""

import math

import jax


def bits_per_dimension(
    log_likelihood: jax.Array, event_shape: tuple[int, ...], *, num_levels: int = 1
) -> jax.Array:
    r"""What a code by this model takes for each dimension, in bits.

    .. math:: -\frac{\log p(x)}{D \log 2} + \log_2 n

    Args:
      log_likelihood: log p(x) in nats, summed over the event, of any shape.
      event_shape: of one example; D is its product.
      num_levels: n, only for a density of values scaled to [0, 1] that were one of n
        levels with uniform noise (256 for bytes): the density of the unscaled ones is n
        times smaller in each dimension. 1 for probabilities of discrete values.

    Returns:
      Bits per dimension, of the same shape. The mean over examples of a lower bound on
      log p(x) gives an upper bound.

    Raises:
      ValueError: if a dimension or `num_levels` is less than 1.

    References:
      Theis et al., 2016, https://arxiv.org/abs/1511.01844, section 3.1.
    """
    num = math.prod(event_shape)
    if num < 1 or num_levels < 1:
        raise ValueError(
            "event_shape and num_levels must be at least 1, got "
            f"{event_shape} and {num_levels}."
        )
    return -log_likelihood / (num * math.log(2)) + math.log2(num_levels)
