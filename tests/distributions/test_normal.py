import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from tests import toy
from vaejax.distributions import Normal

RNG = np.random.default_rng(0)
LOC = RNG.normal(size=(3, 2, 4)).astype(np.float32)
SCALE = RNG.uniform(0.2, 3.0, size=(3, 2, 4)).astype(np.float32)
X = RNG.normal(size=(3, 2, 4)).astype(np.float32)


@pytest.mark.parametrize("event_ndims", [0, 1, 2])
def test_log_prob_is_scipys_summed_over_the_event_and_nothing_else(event_ndims):
    terms = scipy.stats.norm(LOC.astype(float), SCALE.astype(float)).logpdf(X)
    expected = terms.sum(axis=tuple(range(3 - event_ndims, 3)))
    got = Normal(LOC, SCALE, event_ndims).log_prob(X)
    assert got.shape == (3, 2, 4)[: 3 - event_ndims]
    np.testing.assert_allclose(got, expected, rtol=2e-5)


def test_replacing_event_ndims_by_0_gives_the_unsummed_terms():
    q = Normal(LOC, SCALE)
    terms = q.replace(event_ndims=0).log_prob(X)
    assert terms.shape == LOC.shape
    np.testing.assert_allclose(terms.sum(axis=-1), q.log_prob(X), rtol=1e-5)


def test_draws_have_the_mean_and_the_variance_of_the_distribution():
    z = Normal(LOC, SCALE).sample(jax.random.key(0), (4000,))
    toy.same_mean(z, LOC)
    toy.same_mean((z - LOC) ** 2, SCALE.astype(float) ** 2)


def test_draws_move_with_loc_and_scale():
    def draw(loc, scale):
        return Normal(loc, scale).sample(jax.random.key(1))

    eps = draw(jnp.zeros(3), jnp.ones(3))
    by_loc, by_scale = jax.jacobian(draw, argnums=(0, 1))(jnp.ones(3), jnp.ones(3))
    np.testing.assert_allclose(by_loc, np.eye(3))
    np.testing.assert_allclose(by_scale, np.diag(eps), rtol=1e-6)


def test_the_mean_is_loc():
    np.testing.assert_array_equal(Normal(LOC, SCALE).mean(), LOC)


def test_a_scale_broadcasts_against_loc():
    got = Normal(LOC, jnp.float32(0.5)).log_prob(X)
    np.testing.assert_allclose(got, toy.log_normal(X, LOC, 0.5), rtol=1e-5)
    assert Normal(jnp.zeros(3), jnp.ones((2, 3))).sample(toy.keys(0, 2)).shape == (2, 3)
