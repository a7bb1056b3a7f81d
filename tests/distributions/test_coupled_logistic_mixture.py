"""The mixture of PixelCNN++, its colours enumerated."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from tests import toy
from vaejax.distributions import CoupledLogisticMixture, DiscretizedLogistic

L, K, C = 5, 2, 3
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(2, 1, K))  # two pixels in a row
LOC = RNG.uniform(0, 1, size=(2, 1, C, K))
SCALE = RNG.uniform(0.05, 0.3, size=(2, 1, C, K))
COUPLING = RNG.uniform(-1, 1, size=(2, 1, C * (C - 1) // 2, K))
COLOURS = np.array(list(itertools.product(np.arange(L) / (L - 1), repeat=C)))


def mixture(event_ndims=3, dtype=jnp.float32):
    arrays = (jnp.asarray(a, dtype) for a in (LOGITS, LOC, SCALE, COUPLING))
    return CoupledLogisticMixture(*arrays, num_levels=L, event_ndims=event_ndims)


def pixel_cnn(x):
    """Log masses of one pixel `[2, 1, V]` by the formulas of PixelCNN++ on [-1, 1]."""
    x, loc, scale, half = 2 * x - 1, 2 * LOC - 1, 2 * SCALE, 1 / (L - 1)
    red, green, blue = x[:, None, :].T  # [1, V]: x is [V, C]
    mu = loc[..., None] + np.zeros(len(x.T[0]))  # [2, 1, C, K, V]
    c = COUPLING[..., None]
    mu[:, :, 1] += c[:, :, 0] * red
    mu[:, :, 2] += c[:, :, 1] * red + c[:, :, 2] * green
    value = np.stack([red, green, blue])  # [C, 1, V]
    s = scale[..., None]
    high = np.where(value > 1 - half, 1, scipy.special.expit((value + half - mu) / s))
    low = np.where(value < half - 1, 0, scipy.special.expit((value - half - mu) / s))
    weights = scipy.special.softmax(LOGITS, axis=-1)[..., None]
    return np.log((weights * np.prod(high - low, axis=2)).sum(axis=2))


def enumerated():
    """The probability of every colour of both pixels, `[V, 2, 1]`."""
    return np.exp(np.moveaxis(pixel_cnn(COLOURS), -1, 0))


def test_log_prob_is_that_of_pixel_cnn_and_all_colours_sum_to_1():
    expected = np.moveaxis(pixel_cnn(COLOURS), -1, 0)  # [V, 2, 1]
    np.testing.assert_allclose(np.exp(expected).sum(axis=0), 1, rtol=1e-12)
    x = np.broadcast_to(COLOURS[:, None, None], (len(COLOURS), 2, 1, C))
    log_prob = jax.jit(lambda p, x: p.log_prob(x))
    with jax.enable_x64(True):
        terms = log_prob(mixture(0, jnp.float64), x)
        np.testing.assert_allclose(terms.sum(axis=-1), expected, rtol=1e-10)
    got = log_prob(mixture(), x.astype(np.float32))
    np.testing.assert_allclose(got, expected.sum(axis=(1, 2)), rtol=1e-5, atol=1e-5)


def test_unsummed_terms_are_the_log_masses_of_a_channel_given_those_before():
    mass = enumerated()[:, 0, 0].reshape(L, L, L)
    x = np.float32(COLOURS[:, None, None])
    terms = np.asarray(jax.jit(lambda p: p.log_prob(x))(mixture(0)), float)[
        :, 0, 0
    ].reshape(L, L, L, C)
    red, pair = mass.sum(axis=(1, 2)), mass.sum(axis=2)
    np.testing.assert_allclose(terms[:, 0, 0, 0], np.log(red), rtol=1e-4)
    np.testing.assert_allclose(
        terms[:, :, 0, 1], np.log(pair / red[:, None]), rtol=1e-4, atol=1e-5
    )


def test_draws_are_colours_with_their_probabilities():
    draw = jax.jit(lambda p, key: p.sample(key, (4000,)))
    x = draw(mixture(), jax.random.key(0))  # [S, 2, 1, C]
    place = np.round(np.asarray(x) * (L - 1)) @ [L * L, L, 1]
    hits = place[..., None] == np.arange(L**C)  # [S, 2, 1, V]
    probability = np.moveaxis(enumerated(), 0, -1)
    often = probability > 0.01  # the rest are too few for a normal approximation
    toy.same_mean(hits[:, often], probability[often])


def test_the_first_mean_is_exact_and_the_others_but_for_the_open_ends():
    exact = np.einsum("vhw,vc->hwc", enumerated(), COLOURS)
    got = jax.jit(lambda p: p.mean())(mixture())
    np.testing.assert_allclose(got[..., 0], exact[..., 0], rtol=1e-5)
    np.testing.assert_allclose(got, exact, atol=0.02)


def test_the_mode_is_the_likeliest_level_given_those_before():
    mode = np.asarray(jax.jit(lambda p: p.mode())(mixture()))
    for pixel in range(2):
        mass = enumerated()[:, pixel, 0].reshape(L, L, L)
        red = mass.sum(axis=(1, 2)).argmax()
        green = mass[red].sum(axis=1).argmax()
        expected = [red, green, mass[red, green].argmax()]
        np.testing.assert_allclose(mode[pixel, 0] * (L - 1), expected, atol=1e-5)


def test_uncoupled_and_of_one_component_it_is_a_discretized_logistic():
    arrays = (jnp.asarray(a[..., :1], jnp.float32) for a in (LOGITS, LOC, SCALE))
    p = CoupledLogisticMixture(*arrays, jnp.zeros((2, 1, 3, 1)), num_levels=L)
    plain = DiscretizedLogistic(p.loc[..., 0], p.scale[..., 0], L, event_ndims=3)
    x = jnp.asarray(COLOURS[:, None, None], jnp.float32) + jnp.zeros((2, 1, 1))
    ask = jax.jit(lambda p: (p.log_prob(x), p.mean(), p.mode()))
    for mine, theirs in zip(ask(p), ask(plain), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5)
