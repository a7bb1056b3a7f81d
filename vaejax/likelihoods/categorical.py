"""The likelihood of levels or tokens whose probabilities are all free."""

from typing import Any

from vaejax.base import Distribution, Family
from vaejax.distributions import Categorical, Levels
from vaejax.networks import Network, decoded


def categorical(
    decoder: Network,
    event_shape: tuple[int, ...],
    *,
    num_categories: int = 256,
    tokens: bool = False,
) -> Family:
    r"""p(x|z): every element of x is one of K values, with probability softmax(r)_k.

    For the levels of an image, x = k / (K - 1), as `discretized_logistic` reads them,
    but with no notion that neighbours are alike; or for tokens, x = k.

    Args:
      decoder: a flax.linen module or a pair `(init, apply)`, z `[N, D]` to features.
      event_shape: the shape of one x: of an image, or `(T,)` for T tokens.
      num_categories: K, at least 2: 256 for the levels of bytes, or the size of the
        vocabulary.
      tokens: whether values are the k themselves, and not levels k / (K - 1).

    Returns:
      A `Family` of `Levels` or `Categorical` whose batch shape is the leading axes of
      z; in float32 its masses sum to 1 within 1e-5. Finite with its gradient for
      outputs up to 10,000 in size.

    Raises:
      ValueError: if `num_categories` is less than 2.
    """
    if num_categories < 2:
        raise ValueError(f"num_categories must be at least 2, got {num_categories}.")
    network, event_ndims = (
        decoded(decoder, event_shape, num_categories),
        len(event_shape),
    )

    def make(params: Any, z: Any) -> Distribution:
        numbers = Categorical(network.apply(params, z), event_ndims)
        return numbers if tokens else Levels(numbers, num_categories, event_ndims)

    return Family(network.init, make)
