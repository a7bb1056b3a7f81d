import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import toy
from vaejax.batch import AXIS, global_mean
from vaejax.distributions import kl_divergence
from vaejax.objectives import capacity, elbo

MODEL, X = toy.small_vae(hidden=()), toy.bits(8)
PARAMS = jax.tree.map(lambda a: 4 * a, MODEL.init(jax.random.key(0), X))
RATE = np.asarray(kl_divergence(MODEL.encode(PARAMS, X), MODEL.prior(PARAMS)))
GAMMA = 7.0


@functools.partial(jax.jit, static_argnums=0)
def loss_and_gradient(make, value):
    def mean(params):
        loss, metrics = make(value).loss(toy.keys(0, 8), MODEL, params, X)
        return loss.mean(), (loss, metrics)

    gradient, (loss, metrics) = jax.grad(mean, has_aux=True)(PARAMS)
    return loss, metrics, gradient


def of(C, **flags):
    return capacity(gamma=GAMMA, capacity=C, **flags)


def test_at_0_it_is_the_elbo_with_beta_gamma():
    got = loss_and_gradient(of, 0.0)
    expected = loss_and_gradient(lambda _: elbo(beta=GAMMA), 0.0)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    jax.tree.map(close, got, expected)


def test_its_mean_is_the_distance_of_the_mean_rate_or_of_each():
    C = float(RATE.mean())
    assert RATE.min() < C - 0.1 < C + 0.1 < RATE.max()
    each = functools.partial(of, per="example")
    for shift in (-0.1, 0.0, 0.1):
        loss, metrics, _ = loss_and_gradient(of, C + shift)
        expected = metrics["distortion"].mean() + GAMMA * abs(shift)
        np.testing.assert_allclose(loss.mean(), expected, rtol=1e-5)
        np.testing.assert_allclose(metrics["rate"], RATE, rtol=1e-5)
        loss, metrics, _ = loss_and_gradient(each, C + shift)
        expected = metrics["distortion"] + GAMMA * np.abs(RATE - C - shift)
        np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_its_gradient_is_that_of_the_formula_on_both_sides():
    @jax.jit
    def by_hand(C):
        def mean(params):
            loss, _ = elbo(beta=0).loss(toy.keys(0, 8), MODEL, params, X)
            rate = kl_divergence(MODEL.encode(params, X), MODEL.prior(params))
            return loss.mean() + GAMMA * jnp.abs(rate.mean() - C)

        return jax.grad(mean)(PARAMS)

    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    for C in RATE.mean() - 0.1, RATE.mean() + 0.1:
        jax.tree.map(close, loss_and_gradient(of, C)[2], by_hand(C))


def test_devices_agree_where_the_means_of_their_shares_lie_on_both_sides():
    order = np.argsort(RATE)
    C, shares = RATE.mean() + 0.05, RATE[order].reshape(2, 4).mean(axis=1)
    assert shares[0] < RATE.mean() < C < shares[1]

    def gradient(keys, x):
        def mean(params):
            return of(C).loss(keys, MODEL, params, x)[0].mean()

        return global_mean(jax.value_and_grad(mean)(PARAMS))

    keys, x = toy.keys(0, 8), X[order]
    halves = keys.reshape(2, 4), x.reshape(2, 4, -1)
    got = jax.pmap(gradient, axis_name=AXIS)(*halves)
    expected = jax.jit(gradient)(jax.random.clone(keys), x)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(lambda a, b: close(a[1], b), got, expected)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"gamma": -1.0}, r"gamma.*at least 0.*got -1"),
        ({"capacity": float("nan")}, r"capacity.*at least 0.*got nan"),
        ({"per": "pixel"}, r"'batch' or 'example', got 'pixel'"),
        ({"num_particles": 0}, r"num_particles.*got 0"),
    ],
)
def test_a_bad_argument_is_an_error(flags, message):
    with pytest.raises(ValueError, match=message):
        capacity(**flags)
