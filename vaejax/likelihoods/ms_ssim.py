"""Multi-scale structural similarity in the place of a likelihood."""

from typing import Any

from vaejax.base import Distribution, Family
from vaejax.checks import check_weights
from vaejax.distributions.ms_ssim import MSSSIM, WEIGHTS, scales_that_fit
from vaejax.networks import Network, decoded


def ms_ssim(
    decoder: Network,
    event_shape: tuple[int, ...],
    *,
    weight: float = 100.0,
    window: int = 11,
    num_scales: int | None = None,
) -> Family:
    r"""A distortion for images with values from 0 to 1 that asks how alike they look.

    .. math:: \text{weight}\, (1 - \text{MS-SSIM}(x, \text{mean}(z)))

    It is no density: objectives train with it, for they ask for the distortion, but
    there is no likelihood and no ELBO to report. The weight sets what likeness is worth
    in nats, against the rate. See `distributions.ms_ssim` for the formula.

    Args:
      decoder: a flax.linen module or a pair `(init, apply)`, z `[N, D]` to features.
      event_shape: `[H, W]` or `[H, W, C]`.
      weight: of the dissimilarity, in nats; may be traced.
      window: width of the Gaussian window of standard deviation 1.5, in pixels.
      num_scales: each after the first at half the size of the one before, at most 5 and
        as long as the window fits in; None takes all that do.

    Returns:
      A `Family` of `MSSSIM` whose batch shape is the leading axes of z.

    Raises:
      ValueError: if the event is no image, a Python `weight` is negative, or the image
        has no room for the window at so many scales.

    References:
      Wang et al., 2003, Multi-scale structural similarity for image quality assessment.
      Snell et al., 2017, https://arxiv.org/abs/1511.06409 (to train auto-encoders).
    """
    if len(event_shape) not in (2, 3):
        raise ValueError(
            f"MS-SSIM is for images [H, W] or [H, W, C], got events {event_shape}."
        )
    check_weights(weight=weight)
    if window < 2:
        raise ValueError(f"window must be at least 2 pixels, got {window}.")
    height, width, *_ = event_shape
    most = scales_that_fit(height, width, window)
    if most < 1:
        raise ValueError(
            f"an image of {height} x {width} has no room for a window of {window} "
            f"pixels: set window to at most {min(height, width)}."
        )
    if num_scales is None:
        num_scales = most
    if not 1 <= num_scales <= most:
        raise ValueError(
            f"num_scales must be from 1 to {most} for an image of {height} x {width} "
            f"and a window of {window} (at most {len(WEIGHTS)}), got {num_scales}."
        )
    network, scales = decoded(decoder, event_shape), num_scales

    def make(params: Any, z: Any) -> Distribution:
        logits = network.apply(params, z)
        return MSSSIM(logits, weight, window, scales, len(event_shape))

    return Family(network.init, make)
