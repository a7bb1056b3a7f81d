"""Encoders and decoders of images of any size."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax
from vaejax import likelihoods, networks, posteriors, priors
from vaejax.networks import decoded, headed
from vaejax.networks.conv import Conv, ConvTransposed, as_image

SHAPES = [(8, 8), (9, 7), (28, 28), (28, 20, 1), (64, 64, 3), (33, 64, 3), (5, 4, 2)]
KINDS = {
    "conv": networks.conv(channels=(4, 6), hidden=(5,)),
    "residual": networks.residual(channels=(4, 6), hidden=(5,), num_blocks=1),
    "no dense layers": networks.conv(channels=(3,), hidden=()),
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_any_image_becomes_features_and_any_code_an_image(kind, shape):
    def shapes(key):
        key, decoder_key = jax.random.split(key)
        network = headed(KINDS[kind], 7)
        x = jnp.zeros((2, *shape), jnp.uint8)
        code = network.apply(network.init(key, x), x)
        other = decoded(KINDS[kind], shape, 3)
        params = other.init(decoder_key, jnp.zeros((2, 5)))
        return code, other.apply(params, jnp.zeros((4, 2, 5)))

    code, image = jax.eval_shape(shapes, jax.random.key(0))
    assert code.shape == (2, 7)
    assert image.shape == (4, 2, *shape, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_condition_reaches_the_features_of_encoder_and_decoder(kind):
    keys = jax.random.split(jax.random.key(0), 3)
    x, y = jax.random.normal(keys[0], (2, 8, 8)), jnp.eye(2)
    network, other = headed(KINDS[kind], 2), decoded(KINDS[kind], (8, 8))
    for part, first, key in ((network, x, keys[1]), (other, x[:, 0, :3], keys[2])):
        params = part.init(key, (first, y))
        change = part.apply(params, (first, y)) - part.apply(params, (first, y[::-1]))
        assert np.abs(change).max() > 1e-4


@pytest.mark.parametrize("shape", [(6,), (2, 2, 2, 2)])
@pytest.mark.parametrize("factory", [networks.conv, networks.residual])
def test_events_that_are_no_images_are_refused(factory, shape):
    one, other = jax.random.split(jax.random.key(0))
    with pytest.raises(ValueError, match=r"networks\.mlp"):
        headed(factory(), 2).init(one, jnp.zeros((1, *shape)))
    with pytest.raises(ValueError, match=r"networks\.mlp"):
        decoded(factory(), shape).init(other, jnp.zeros((1, 2)))


def test_an_image_too_small_for_the_stages_is_refused():
    with pytest.raises(ValueError, match="3 x 8 cannot be halved 2 times"):
        decoded(networks.conv(), (3, 8)).init(jax.random.key(0), jnp.zeros((1, 2)))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"channels": ()}, "not empty"),
        ({"channels": (0,)}, "at least 1"),
        ({"hidden": (0,)}, "at least 1"),
        ({"activation": "cosine"}, "gelu, relu, silu, tanh, got 'cosine'"),
    ],
)
@pytest.mark.parametrize("factory", [networks.conv, networks.residual])
def test_bad_widths_are_refused(factory, kwargs, message):
    with pytest.raises(ValueError, match=message):
        factory(**kwargs)


def test_a_negative_number_of_blocks_is_refused():
    with pytest.raises(ValueError, match="num_blocks must be at least 0, got -1"):
        networks.residual(num_blocks=-1)


def test_the_head_of_a_laid_out_decoder_is_shared_among_the_pixels():
    model = vaejax.latent_variable_model(
        posteriors.diagonal_normal(KINDS["conv"], 2),
        priors.standard_normal(2),
        likelihoods.bernoulli(KINDS["conv"], (8, 8)),
    )
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 8, 8)))
    assert shapes["likelihood"]["head"]["kernel"].shape == (4, 1)


@pytest.mark.parametrize("channels", [(), (3,)])
def test_a_mask_of_an_image_is_channels_beside_it(channels):
    shape = (2, 8, 6, *channels)
    value = jnp.arange(math.prod(shape), dtype=float).reshape(shape)
    mask = jnp.arange(math.prod(shape)).reshape(shape) % 3 > 0
    joined = as_image((value, mask))
    num = max(1, *channels, 1)
    assert joined.shape == (2, 8, 6, 2 * num)
    np.testing.assert_array_equal(joined[..., :num].reshape(shape), value)
    np.testing.assert_array_equal(joined[..., num:].reshape(shape), mask)


@pytest.mark.parametrize(
    "layer",
    [
        Conv(64),
        Conv(64, kernel=3, stride=1),
        ConvTransposed(64, (32, 32)),
        ConvTransposed(64, (16, 16), kernel=3, stride=1),
    ],
    ids=["halving", "same size", "doubling", "same size, transposed"],
)
def test_a_layer_keeps_the_scale_of_what_it_sees(layer):
    keys = jax.random.split(jax.random.key(0))
    x = jax.random.normal(keys[0], (8, 16, 16, 64))
    y = layer.apply(layer.init(keys[1], x), x)[:, 2:-2, 2:-2]  # borders see less
    assert y.std() == pytest.approx(1, abs=0.05)
