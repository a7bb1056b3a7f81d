import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import toy
from vaejax import likelihoods
from vaejax.distributions import (
    MSSSIM,
    Bernoulli,
    Masked,
    Normal,
    OptimalNormal,
    PointMass,
)

LOC, SCALE = jnp.linspace(-1, 1, 12).reshape(3, 4), jnp.full((3, 4), 0.5)
VALUE = jnp.linspace(0, 2, 12).reshape(3, 4)
MASK = jnp.array([[1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]], bool)


def test_it_is_the_density_of_what_was_observed():
    got = Masked(Normal(LOC, SCALE)).log_prob((VALUE, MASK))
    for i in range(3):
        m = np.asarray(MASK[i])
        expected = toy.log_normal(VALUE[i][m], LOC[i][m], SCALE[i][m])
        np.testing.assert_allclose(got[i], expected, rtol=1e-5, atol=1e-6)


def test_a_mask_of_numbers_or_of_fewer_channels_is_as_good():
    base = Normal(jnp.zeros((2, 3, 4, 2)), jnp.ones(()), event_ndims=3)
    value = jnp.ones((2, 3, 4, 2))
    mask = jnp.arange(24).reshape(2, 3, 4, 1) % 3 > 0
    got = Masked(base).log_prob((value, mask.astype(float)))
    full = Masked(base).log_prob((value, jnp.broadcast_to(mask, value.shape)))
    np.testing.assert_array_equal(got, full)
    np.testing.assert_allclose(
        got, [-0.5 * (1 + np.log(2 * np.pi)) * 16] * 2, rtol=1e-5
    )


@pytest.mark.parametrize("hidden", [np.nan, np.inf, 1e30], ids=str)
def test_hidden_values_reach_neither_the_density_nor_its_gradient(hidden):
    def density(loc, value):
        return Masked(Normal(loc, SCALE)).log_prob((value, MASK)).sum()

    expected = jax.value_and_grad(density)(LOC, VALUE)
    got = jax.value_and_grad(density)(LOC, jnp.where(MASK, VALUE, hidden))
    np.testing.assert_array_equal(got[0], expected[0])
    np.testing.assert_array_equal(got[1], expected[1])
    assert (np.asarray(expected[1] != 0) == MASK).all()


FACTORIES = dict(inspect.getmembers(likelihoods, inspect.isfunction))
del FACTORIES["ms_ssim"]  # whose elements are not independent
FAST = ("bernoulli", "normal", "categorical")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in FAST else pytest.mark.slow)
        for name in FACTORIES
    ],
)
def test_a_mask_and_its_complement_make_up_every_likelihood(name):
    family = FACTORIES[name](toy.identity(), (4,))

    @jax.jit
    def parts_and_whole():
        z = jax.random.normal(jax.random.key(0), (3, 2))
        base = family.make(family.init(jax.random.key(1), z), z)
        value = base.sample(jax.random.key(2))
        first, rest = (Masked(base).log_prob((value, mask)) for mask in (MASK, ~MASK))
        return first, rest, base.log_prob(value)

    first, rest, whole = parts_and_whole()
    np.testing.assert_allclose(first + rest, whole, rtol=1e-5)
    assert (first[1], rest[2]) == (0, 0)


def test_draws_and_moments_are_those_of_the_whole():
    base = Bernoulli(LOC)
    own, key = Masked(base), jax.random.key(0)
    np.testing.assert_array_equal(own.mean(), base.mean())
    np.testing.assert_array_equal(own.mode(), base.mode())
    expected = base.sample(jax.random.clone(key), (5,))
    np.testing.assert_array_equal(own.sample(key, (5,)), expected)


def test_what_has_no_terms_or_fits_the_batch_is_refused():
    with pytest.raises(TypeError, match="OptimalNormal judges complete values only"):
        Masked(OptimalNormal(LOC, jnp.ones(()))).log_prob((VALUE, MASK))
    with pytest.raises(TypeError, match="PointMass has no density"):
        Masked(PointMass(LOC)).log_prob((VALUE, MASK))
    with pytest.raises(TypeError, match="MSSSIM judges complete values only"):
        Masked(MSSSIM(LOC, 1.0, 3, 1)).log_prob((VALUE, MASK))

    class Pooled(Normal):
        def log_prob(self, value):
            return super().log_prob(value).sum(axis=-1)  # terms of rows

    with pytest.raises(TypeError, match="Pooled has no log_prob of single elements"):
        Masked(Pooled(LOC, SCALE)).log_prob((VALUE, MASK))


def test_coupled_channels_are_refused():
    family = likelihoods.discretized_logistic_mixture(
        toy.identity(), (1, 1, 3), num_components=2, coupling=True
    )
    z = jnp.ones((2, 3))
    base = family.make(family.init(jax.random.key(0), z), z)
    value = jnp.zeros((2, 1, 1, 3))
    with pytest.raises(TypeError, match="CoupledLogisticMixture judges complete"):
        Masked(base).log_prob((value, jnp.ones_like(value)))
