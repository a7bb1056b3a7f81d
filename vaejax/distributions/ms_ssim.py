"""The multi-scale structural similarity of images, and a distortion made of it."""

import functools
import math
import operator
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from vaejax.base import Distribution

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first
STABILIZERS = 0.01**2, 0.03**2  # C_1 and C_2, for values from 0 to 1
SPREAD = 1.5  # standard deviation of the window, in pixels
FLOOR = 0.01  # below it a similarity is bent, so as to stay positive


def ms_ssim(x: jax.Array, y: jax.Array, window: int, num_scales: int) -> jax.Array:
    r"""The similarity of two images with values from 0 to 1: at most 1, and 1 if equal.

    .. math:: \Big(\prod_{j=1}^{M} \mathrm{cs}_j^{w_j}\Big)\, l_M^{w_M}, \quad
              l = \frac{2 \mu_x \mu_y + C_1}{\mu_x^2 + \mu_y^2 + C_1}, \quad
              \mathrm{cs} = \frac{2 \sigma_{xy} + C_2}{\sigma_x^2 + \sigma_y^2 + C_2}

    Means, variances and the covariance are those of a window of Gaussian weights, at
    all places where it fits in. Contrast and structure, cs, and at the last scale its
    product with the luminance l, are averaged over places and channels. Each scale
    halves the image by the mean of 2 x 2 pixels. Of fewer than five scales, the first
    weights are scaled to sum to 1: one scale is the plain SSIM. A mean s below 0.01,
    whose power may not exist, counts as :math:`0.01^2 / (0.02 - s)`.

    Args:
      x: images `[..., H, W, C]`.
      y: images that broadcast against x.
      window: how many pixels wide the window is.
      num_scales: M.

    Returns:
      `[...]`.

    References:
      Wang et al., 2003, Multi-scale structural similarity for image quality assessment.
    """
    dtype = jnp.result_type(x, y)
    x, y = (jnp.moveaxis(image.astype(dtype), -1, -3) for image in (x, y))
    weights = WEIGHTS[:num_scales]
    powers = []
    for scale, weight in enumerate(weights):
        if scale:
            x, y = halved(x), halved(y)
        luminance, contrast = compared(x, y, window)  # [..., C, h, w]
        last = scale == num_scales - 1
        places = luminance * contrast if last else contrast
        mean = places.mean(axis=(-3, -2, -1))  # [...]
        powers.append(positive(mean) ** (weight / sum(weights)))
    return functools.reduce(operator.mul, powers)


def compared(x: jax.Array, y: jax.Array, window: int) -> tuple[jax.Array, jax.Array]:
    """Luminance, and contrast times structure, at every place: `[..., C, h, w]`."""
    rows, columns = (jnp.asarray(gaussian(n, window), x.dtype) for n in x.shape[-2:])
    exact = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)

    def blurred(image: jax.Array) -> jax.Array:  # [..., H, W] -> [..., h, w]
        return exact(exact(rows, image), columns.T)  # the variances cancel

    c1, c2 = STABILIZERS
    mean_x, mean_y = blurred(x), blurred(y)
    variance_x = blurred(x**2) - mean_x**2
    variance_y = blurred(y**2) - mean_y**2
    covariance = blurred(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return luminance, (2 * covariance + c2) / (variance_x + variance_y + c2)


@functools.cache
def gaussian(size: int, window: int) -> np.ndarray:
    """The weights of a window at every place where it fits in, `[places, size]`."""
    offsets = np.arange(size) - np.arange(size - window + 1)[:, None]  # in the window
    weights = np.exp(-(((offsets - (window - 1) / 2) / SPREAD) ** 2) / 2)
    weights = np.where((offsets >= 0) & (offsets < window), weights, 0)
    return weights / weights.sum(axis=1, keepdims=True)


def halved(image: jax.Array) -> jax.Array:
    """The means of 2 x 2 pixels; an odd row or column is left out."""
    *lead, height, width = image.shape
    height, width = height // 2, width // 2
    even = image[..., : 2 * height, : 2 * width]
    return even.reshape(*lead, height, 2, width, 2).mean(axis=(-3, -1))


def positive(mean: jax.Array) -> jax.Array:
    """The mean itself from `FLOOR` on, below it smooth, increasing and above 0."""
    low = mean < FLOOR
    bent = FLOOR**2 / (2 * FLOOR - jnp.where(low, mean, 0))
    return jnp.where(low, bent, mean)


def scales_that_fit(height: int, width: int, window: int) -> int:
    """How many scales of an image have room for the window, at most 5."""
    scales = 1 + math.floor(math.log2(max(min(height, width) / window, 0.5)))
    return min(scales, len(WEIGHTS))


@struct.dataclass
class MSSSIM(Distribution):
    r"""Images that are judged by their likeness: a distortion without a density.

    .. math:: \text{weight}\, (1 - \text{MS-SSIM}(x, \text{mean}))

    Attributes:
      logits: of the mean, `[*batch_shape, H, W]` or `[*batch_shape, H, W, C]`.
      weight: what the distortion is for images without any likeness, in nats.
      window: width of the window in pixels.
      num_scales: how many.
      event_ndims: 2 or 3.
    """

    support: ClassVar[str] = "unit_interval"
    independent: ClassVar[bool] = False

    logits: jax.Array
    weight: float | jax.Array
    window: int = struct.field(pytree_node=False)
    num_scales: int = struct.field(pytree_node=False)
    event_ndims: int = struct.field(pytree_node=False, default=2)

    def distortion(self, value: jax.Array) -> jax.Array:
        """The dissimilarity, `[..., *batch_shape]`."""
        x, mean = value, self.mean()
        if self.event_ndims == 2:
            x, mean = x[..., None], mean[..., None]
        return self.weight * (1 - ms_ssim(x, mean, self.window, self.num_scales))

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Has none.

        Raises:
          TypeError: always; use `distortion`, or a likelihood.
        """
        raise TypeError(
            "MS-SSIM is a distortion, no density: without log p(x|z) there is no "
            "likelihood or ELBO to report. Train with it, and report the distortion; "
            "for a density use likelihoods.bernoulli, normal or discretized_logistic."
        )

    def mean(self) -> jax.Array:
        """The image, in (0, 1)."""
        return jax.nn.sigmoid(self.logits)

    def mode(self) -> jax.Array:
        """The image most like itself: the mean."""
        return self.mean()
