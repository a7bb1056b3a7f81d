"""The likelihood of grey levels and colours that may have several likely values."""

from typing import Any

import jax.numpy as jnp

from vaejax.base import Distribution, Family
from vaejax.distributions import CoupledLogisticMixture, DiscretizedLogisticMixture
from vaejax.likelihoods.discretized_logistic import level_scale
from vaejax.networks import Network, decoded


def discretized_logistic_mixture(
    decoder: Network,
    event_shape: tuple[int, ...],
    *,
    num_levels: int = 256,
    num_components: int = 5,
    coupling: bool = False,
) -> Family:
    r"""p(x|z): a mixture of K discretised logistics, for each element or each pixel.

    .. math:: p(x) = \sum_k \pi_k \left[\sigma\left(\frac{x + h - \text{loc}_k}{s_k}
        \right) - \sigma\left(\frac{x - h - \text{loc}_k}{s_k}\right)\right],
        \quad h = \frac{1}{2 (L - 1)}

    with open ends at 0 and 1; `num_components=1` is `discretized_logistic`. With
    `coupling` a colour is one draw of the mixture and the centre of a channel moves
    with those before it, as in PixelCNN++, which has 10 components: see
    `CoupledLogisticMixture`. Unlike PixelCNN++'s code, which puts a density in place of
    small masses, the masses sum to 1.

    With the decoder's outputs r, loc_k = (k + 1/2) / K + r, so that components start
    apart, s_k = 0.1 / (L - 1) + softplus(r - 2) and couplings are tanh(r).

    Args:
      decoder: a flax.linen module or a pair `(init, apply)`, z `[N, D]` to features.
      event_shape: the shape of one x; with `coupling` `(H, W, C)`.
      num_levels: L, at least 2: one more than the largest integer that is stored, 256
        for bytes.
      num_components: K, at least 1.
      coupling: whether the channels of a pixel depend on each other, given z.

    Returns:
      A `Family` of `DiscretizedLogisticMixture` or `CoupledLogisticMixture` whose batch
      shape is the leading axes of z; in float32 its masses sum to 1 within 1e-5. Finite
      with its gradient for outputs up to 10,000 in size.

    Raises:
      ValueError: if a number is too small, or `coupling` has no channels to couple.

    References:
      Salimans et al., 2017, https://arxiv.org/abs/1701.05517.
    """
    if num_levels < 2 or num_components < 1:
        raise ValueError(
            "num_levels must be at least 2 and num_components at least 1, got "
            f"{num_levels} and {num_components}."
        )
    if coupling and len(event_shape) != 3:
        raise ValueError(
            f"coupling is for images (H, W, C), not for events of shape {event_shape}."
        )
    K, L, C = num_components, num_levels, event_shape[-1] if coupling else 1
    num_pairs = C * (C - 1) // 2
    start = (jnp.arange(K) + 0.5) / K
    if not coupling:
        network = decoded(decoder, event_shape, 3 * K)
    else:
        network = decoded(decoder, event_shape[:-1], (1 + 2 * C + num_pairs) * K)

    def make(params: Any, z: Any) -> Distribution:
        raw = network.apply(params, z)
        if not coupling:  # [..., *event_shape, 3 K]
            logits, loc, scale = jnp.split(raw, 3, axis=-1)
            return DiscretizedLogisticMixture(
                logits, start + loc, level_scale(scale, L), L, len(event_shape)
            )
        raw = raw.reshape(*raw.shape[:-1], -1, K)  # [..., H, W, 1 + 2 C + pairs, K]
        logits, loc, scale, pairs = jnp.split(raw, [1, 1 + C, 1 + 2 * C], axis=-2)
        return CoupledLogisticMixture(
            logits[..., 0, :], start + loc, level_scale(scale, L), jnp.tanh(pairs), L
        )

    return Family(network.init, make)
