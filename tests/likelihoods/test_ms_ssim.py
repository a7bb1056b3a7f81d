import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import toy
from vaejax import likelihoods
from vaejax.distributions.ms_ssim import ms_ssim


def test_it_compares_x_with_the_sigmoid_of_the_decoder_at_all_scales_that_fit():
    family = likelihoods.ms_ssim(toy.identity(), (8, 9), weight=5.0, window=3)
    x = np.random.default_rng(0).random((2, 8, 9)).astype(np.float32)

    @jax.jit
    def both(z):
        params = family.init(jax.random.key(0), z)
        mean = jax.nn.sigmoid(z @ params["head"]["kernel"]).reshape(2, 8, 9)
        similar = ms_ssim(x[..., None], mean[..., None], 3, 2)
        return family.make(params, z).distortion(x), 5 * (1 - similar)

    np.testing.assert_allclose(*both(jnp.ones((2, 3))), rtol=1e-4)


@pytest.mark.parametrize(
    ("event_shape", "options", "message"),
    [
        ((64,), {}, r"\[H, W\] or \[H, W, C\].*\(64,\)"),
        ((8, 8), {}, r"8 x 8.*window of 11 pixels: set window to at most 8"),
        ((8, 8), {"window": 3, "num_scales": 3}, r"from 1 to 2.*8 x 8.*3.*got 3"),
        ((8, 8), {"window": 3, "num_scales": 0}, r"from 1 to 2.*got 0"),
        ((8, 8), {"window": 1}, r"window must be at least 2 pixels, got 1"),
        ((28, 28), {"weight": -1.0}, r"weight.*got -1"),
    ],
)
def test_wrong_arguments_are_errors(event_shape, options, message):
    with pytest.raises(ValueError, match=message):
        likelihoods.ms_ssim(toy.identity(), event_shape, **options)
