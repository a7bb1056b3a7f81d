import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from tests import toy
from vaejax.distributions import MSSSIM
from vaejax.distributions.ms_ssim import ms_ssim, scales_that_fit

WANG = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])


def images(*shape, seed=0):
    """Smooth images and their noisy copies, from 0 to 1."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(0, 3, n) for n in shape[1:3]), indexing="ij")
    rest = (1,) * (len(shape) - 3)
    x = [
        np.sin(sum(rng.uniform(1, 4) * axis for axis in axes)) for _ in range(shape[0])
    ]
    x = 0.5 + 0.4 * np.array(x).reshape(*shape[:3], *rest)
    x = x * rng.uniform(0.5, 1, size=shape[3:])
    y = np.clip(x + 0.1 * rng.normal(size=shape), 0, 1)
    return np.broadcast_to(x, shape).astype(np.float32), y.astype(np.float32)


def by_scipy(x, y, window, num_scales):
    """MS-SSIM of two images `[H, W]` by scipy's two-dimensional convolution."""
    where = np.arange(window) - (window - 1) / 2
    line = np.exp(-(where**2) / (2 * 1.5**2))
    kernel = np.outer(line, line) / line.sum() ** 2

    def blur(image):
        return scipy.signal.convolve2d(image, kernel, mode="valid")

    structure, last = [], None
    for _ in range(num_scales):
        mx, my = blur(x), blur(y)
        vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
        cs = (2 * cov + 0.03**2) / (vx + vy + 0.03**2)
        last = (2 * mx * my + 0.01**2) / (mx**2 + my**2 + 0.01**2) * cs
        structure.append(cs)
        quarter = np.full((2, 2), 0.25)
        x, y = (
            scipy.signal.convolve2d(image, quarter, mode="valid")[::2, ::2]
            for image in (x, y)
        )
    return structure, last


@pytest.mark.parametrize(
    ("shape", "window", "num_scales"),
    [((2, 8, 8), 7, 1), ((2, 21, 30), 5, 3), ((2, 16, 17, 3), 4, 2)],
)
def test_it_is_the_product_of_the_scales_of_scipys_convolutions(
    shape, window, num_scales
):
    x, y = images(*shape)
    channels = shape[3] if len(shape) == 4 else 1
    x4, y4 = (image.reshape(*shape[:3], channels) for image in (x, y))
    weights = WANG[:num_scales] / WANG[:num_scales].sum()
    expected = []
    for a, b in zip(x4.astype(float), y4.astype(float), strict=True):
        parts = [
            by_scipy(a[..., c], b[..., c], window, num_scales) for c in range(channels)
        ]
        means = [np.mean([cs[j] for cs, _ in parts]) for j in range(num_scales - 1)]
        means.append(np.mean([last for _, last in parts]))
        expected.append(np.prod(np.array(means) ** weights))
    similar = jax.jit(ms_ssim, static_argnums=(2, 3))(x4, y4, window, num_scales)
    assert min(expected) > 0.1
    assert max(expected) < 0.99
    np.testing.assert_allclose(similar, expected, rtol=1e-4)


def test_equal_images_have_similarity_1_and_no_other_more():
    x, y = images(3, 12, 12)
    similar = jax.jit(ms_ssim, static_argnums=(2, 3))
    one, other = np.stack([x, x, y]), np.stack([x, y, x])  # side by side
    same, back, forth = similar(one[..., None], other[..., None], 5, 2)
    np.testing.assert_allclose(same, 1, rtol=1e-5)
    np.testing.assert_allclose(back, forth, rtol=1e-5)
    assert back.max() < 0.99


def test_flat_opposite_and_saturated_images_have_finite_values_and_gradients():
    x = np.zeros((4, 12, 12), np.float32)
    x[1], x[2], x[3] = 1, np.indices((12, 12)).sum(axis=0) % 2, images(1, 12, 12)[0][0]
    logits = np.stack([0 * x[0], 100 * (1 - 2 * x[1]), 20 * (1 - 2 * x[2]), 0.5 - x[3]])

    @jax.jit
    @jax.value_and_grad
    def total(logits):
        likelihood = MSSSIM(logits, 10.0, window=3, num_scales=3)
        return likelihood.distortion(x).sum()

    value, grads = total(jnp.asarray(logits, jnp.float32))
    assert np.isfinite(value)
    assert np.isfinite(grads).all()
    assert 20 < value < 40  # nothing alike, and never more than the weight
    opposite = np.abs(grads).max(axis=(1, 2))[3]
    assert opposite > 1e-4  # what is worse than nothing can still learn


def test_the_distortion_is_the_weighted_dissimilarity_and_keeps_leading_axes():
    x, _ = images(2, 9, 9, 3)
    logits = np.random.default_rng(1).normal(size=(5, 2, 9, 9, 3)).astype(np.float32)

    @jax.jit
    def both(logits):
        likelihood = MSSSIM(logits, 7.0, 3, 2, event_ndims=3)
        one = ms_ssim(x[1], jax.nn.sigmoid(logits[4, 1]), 3, 2)
        return likelihood.distortion(x), one

    distortion, one = both(logits)
    assert distortion.shape == (5, 2)
    np.testing.assert_allclose(distortion[4, 1], 7 * (1 - one), rtol=1e-5)


@pytest.mark.parametrize(
    ("size", "window", "scales"),
    [(176, 11, 5), (1000, 11, 5), (175, 11, 4), (28, 11, 2), (11, 11, 1), (10, 11, 0)],
)
def test_as_many_scales_fit_as_leave_room_for_the_window(size, window, scales):
    assert scales_that_fit(size, 1000, window) == scales
    assert scales_that_fit(1000, size, window) == scales


def test_it_has_no_density_and_no_draws():
    likelihood = MSSSIM(jnp.zeros((2, 8, 8)), 1.0, 3, 1)
    with pytest.raises(TypeError, match=r"likelihood or ELBO.*likelihoods\.bernoulli"):
        likelihood.log_prob(jnp.zeros((2, 8, 8)))
    with pytest.raises(TypeError, match="cannot be sampled"):
        likelihood.sample(toy.keys(0, 2))
