import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import vaejax
from tests import toy
from vaejax import likelihoods, posteriors, priors
from vaejax.distributions import Normal
from vaejax.evaluate import log_likelihood
from vaejax.objectives import iwae

EXACT = toy.linear_gaussian()
MODEL, X = EXACT.model(), EXACT.draw(5)
PARAMS = EXACT.params(0.4, 1.3)


@functools.cache
def reference():
    return log_likelihood(jax.random.key(0), MODEL, PARAMS, X, 50, images=5, chunk=50)


def test_it_is_log_p_of_x_within_4_standard_errors():
    x = EXACT.draw(32, seed=1)
    K = 2000
    estimate, terms = log_likelihood(jax.random.key(1), MODEL, PARAMS, x, K)
    assert (terms["effective_sample_size"] > 0.2 * K).all()
    gap = np.asarray(estimate) - EXACT.log_prob(x)
    error = np.asarray(terms["monte_carlo_error"])
    assert (abs(gap) < 4 * error).all()
    assert error.max() < 0.05
    assert (gap != 0).any()


def test_at_the_true_posterior_one_particle_is_enough():
    estimate, terms = log_likelihood(
        jax.random.key(0), MODEL, EXACT.params(), X, 1, images=2, chunk=7
    )
    np.testing.assert_allclose(estimate, EXACT.log_prob(X), atol=1e-4)
    np.testing.assert_allclose(terms["elbo"], estimate, atol=1e-5)
    assert np.isnan(terms["monte_carlo_error"]).all()  # unknown, not 0


@pytest.mark.parametrize(("images", "chunk"), [(5, 16), (2, 7), (64, 1000)], ids=str)
def test_the_chunks_change_nothing(images, chunk):
    """50 particles are no multiple of 16 or 7, 5 images none of 2 or 64."""
    estimate, terms = log_likelihood(
        jax.random.key(0), MODEL, PARAMS, X, 50, images=images, chunk=chunk
    )
    assert np.isfinite(terms["pareto_k"]).all()
    expected, own = reference()
    np.testing.assert_allclose(estimate, expected, rtol=1e-5)
    for name in own:
        np.testing.assert_allclose(terms[name], own[name], rtol=2e-4, err_msg=name)


def test_it_is_the_log_of_the_mean_weight_and_its_terms_are_means():
    """Against one pass in float64 over the same draws."""
    estimate, terms = reference()
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), jnp.arange(5))
    particles = jax.vmap(  # [K, B]
        lambda k: jax.vmap(jax.random.fold_in, (0, None))(keys, k)
    )(jnp.arange(50))
    q = MODEL.encode(PARAMS, X)
    z = np.asarray(jax.jit(jax.vmap(q.sample))(particles))  # [K, B, D]
    loc, scale = EXACT.loc(X) + 0.4 * EXACT.scale(), 1.3 * EXACT.scale()
    log_p = toy.log_normal(X, z @ EXACT.weight + EXACT.bias, EXACT.noise)
    rate = toy.log_normal(z, loc, scale) - toy.log_normal(z, 0, 1)
    w = np.exp(log_p - rate)
    np.testing.assert_allclose(estimate, np.log(w.mean(axis=0)), rtol=1e-4)
    np.testing.assert_allclose(terms["distortion"], -log_p.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(terms["rate"], rate.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(terms["elbo"], (log_p - rate).mean(axis=0), rtol=1e-4)
    ess = w.sum(axis=0) ** 2 / (w**2).sum(axis=0)
    np.testing.assert_allclose(terms["effective_sample_size"], ess, rtol=1e-3)
    error = w.std(axis=0, ddof=1) / w.mean(axis=0) / np.sqrt(50)
    np.testing.assert_allclose(terms["monte_carlo_error"], error, rtol=1e-3)


def test_its_reported_error_is_its_spread_over_many_keys():
    @jax.jit
    @jax.vmap
    def repeat(key):
        estimate, terms = log_likelihood(
            key, MODEL, PARAMS, X, 100, images=5, chunk=100
        )
        return estimate, terms["monte_carlo_error"]

    estimate, error = (np.asarray(a, float) for a in repeat(toy.keys(3, 1000)))
    ratio = estimate.std(axis=0) / np.sqrt((error**2).mean(axis=0))
    # A standard deviation from n draws is known to 1 / sqrt(2 n) = 2.2 %.
    np.testing.assert_allclose(ratio, 1, atol=0.15)


def test_the_bias_is_half_the_squared_error_as_documented():
    @jax.jit
    @jax.vmap
    def gap(key):
        estimate, terms = log_likelihood(key, MODEL, PARAMS, X, 20, images=5, chunk=20)
        return estimate - EXACT.log_prob(X), terms["monte_carlo_error"] ** 2 / 2

    gaps, bias = (np.asarray(a, float) for a in gap(toy.keys(4, 4000)))
    assert (gaps.mean(axis=0) < 0).all()
    np.testing.assert_allclose(-gaps.mean(axis=0), bias.mean(axis=0), rtol=0.35)


def test_the_mean_over_keys_is_the_iwae_bound():
    @jax.jit
    @jax.vmap
    def gap(key):
        one, other = jax.random.split(key)
        estimate, _ = log_likelihood(one, MODEL, PARAMS, X, 5, images=5, chunk=5)
        keys = jax.random.split(other, 5)
        return estimate + iwae(num_particles=5).loss(keys, MODEL, PARAMS, X)[0]

    toy.same_mean(gap(toy.keys(5, 3000)))


def test_a_point_mass_has_no_likelihood():
    model = vaejax.latent_variable_model(
        posteriors.point_mass(toy.identity(), 2),
        priors.standard_normal(2),
        likelihoods.normal(toy.identity(), (4,)),
    )
    params = model.init(jax.random.key(0), X)
    with pytest.raises(TypeError, match="density"):
        log_likelihood(jax.random.key(0), model, params, X)


@pytest.mark.parametrize(
    "counts",
    [{"num_particles": 0}, {"images": 0}, {"chunk": -1}],
    ids=lambda counts: next(iter(counts)),
)
def test_a_count_below_1_is_an_error(counts):
    with pytest.raises(ValueError, match="at least 1"):
        log_likelihood(jax.random.key(0), MODEL, PARAMS, X, **counts)


@pytest.mark.parametrize("log_p", [-300.0, -10_137.0, -196_605.0, 1e6])
def test_the_size_of_log_p_costs_no_digit_in_thousands_of_chunks(log_p):
    """All weights are p(x): the estimate is exact, whatever it is."""
    normal = Normal(jnp.zeros((1, 2)), jnp.ones((1, 2)))

    @struct.dataclass
    class Constant(vaejax.Distribution):
        shape: Any

        def log_prob(self, value):
            return jnp.full(self.shape.shape[:-1], log_p)

    model = vaejax.Model(
        None, lambda params, x: normal, lambda params, z: Constant(z), lambda _: normal
    )
    estimate, terms = log_likelihood(
        jax.random.key(0), model, {}, jnp.zeros((1, 2)), 5000, chunk=1
    )
    np.testing.assert_allclose(estimate, log_p, rtol=1e-7)
    np.testing.assert_allclose(terms["effective_sample_size"], 5000, rtol=1e-6)
    np.testing.assert_allclose(terms["monte_carlo_error"], 0, atol=1e-3)
