import functools
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import vaejax
from tests import toy
from vaejax import likelihoods, networks, posteriors, priors
from vaejax.distributions import Normal
from vaejax.evaluate import log_likelihood
from vaejax.evaluate.likelihood import tile, tiled
from vaejax.evaluate.memory import live_bytes
from vaejax.objectives import iwae

EXACT = toy.linear_gaussian()
MODEL, X = EXACT.model(), EXACT.draw(5)
PARAMS = EXACT.params(0.4, 1.3)


@functools.cache
def reference():
    return tiled(jax.random.key(0), MODEL, PARAMS, X, 50, 5, 50)


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
    estimate, terms = log_likelihood(jax.random.key(0), MODEL, EXACT.params(), X, 1)
    np.testing.assert_allclose(estimate, EXACT.log_prob(X), atol=1e-4)
    np.testing.assert_allclose(terms["elbo"], estimate, atol=1e-5)
    assert np.isnan(terms["monte_carlo_error"]).all()  # unknown, not 0


@pytest.mark.parametrize(("images", "chunk"), [(5, 16), (2, 7), (64, 1000)], ids=str)
def test_the_chunks_change_nothing(images, chunk):
    """50 particles are no multiple of 16 or 7, 5 images none of 2 or 64."""
    estimate, terms = tiled(jax.random.key(0), MODEL, PARAMS, X, 50, images, chunk)
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
        estimate, terms = log_likelihood(key, MODEL, PARAMS, X, 100)
        return estimate, terms["monte_carlo_error"]

    estimate, error = (np.asarray(a, float) for a in repeat(toy.keys(3, 1000)))
    ratio = estimate.std(axis=0) / np.sqrt((error**2).mean(axis=0))
    # A standard deviation from n draws is known to 1 / sqrt(2 n) = 2.2 %.
    np.testing.assert_allclose(ratio, 1, atol=0.15)


def test_the_bias_is_half_the_squared_error_as_documented():
    @jax.jit
    @jax.vmap
    def gap(key):
        estimate, terms = log_likelihood(key, MODEL, PARAMS, X, 20)
        return estimate - EXACT.log_prob(X), terms["monte_carlo_error"] ** 2 / 2

    gaps, bias = (np.asarray(a, float) for a in gap(toy.keys(4, 4000)))
    assert (gaps.mean(axis=0) < 0).all()
    np.testing.assert_allclose(-gaps.mean(axis=0), bias.mean(axis=0), rtol=0.35)


def test_the_mean_over_keys_is_the_iwae_bound():
    @jax.jit
    @jax.vmap
    def gap(key):
        one, other = jax.random.split(key)
        estimate, _ = log_likelihood(one, MODEL, PARAMS, X, 5)
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


def test_no_particle_is_an_error():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        log_likelihood(jax.random.key(0), MODEL, PARAMS, X, 0)


@pytest.mark.parametrize("memory", [2**19, 2**22, 2**25], ids=str)
@pytest.mark.parametrize(
    "network", [networks.mlp(hidden=[40]), networks.conv(channels=[4, 8])]
)
def test_the_program_needs_no_more_memory_than_it_is_given(network, memory):
    model, x = pictures(network)
    params = model.init(jax.random.key(0), x[:1])
    images, chunk = tile(model, params, x, 300, memory)
    program = tiled.lower(jax.random.key(0), model, params, x, 300, images, chunk)
    needs = program.compile().memory_analysis()
    used = needs.temp_size_in_bytes + needs.output_size_in_bytes
    assert used <= memory
    if memory < 2**25:  # 100 images of 300 particles are more than it holds
        assert images * chunk < 100 * 300
        assert (
            needs.output_size_in_bytes
            + live_bytes_of(model, params, x) * (images * chunk)
            > memory / 2
        )


def test_where_the_estimate_is_too_low_the_compiled_program_is_asked(monkeypatch):
    """The program of 100 x 300 at once needs more than 2 MB; 10 bytes each do not."""
    model, x = pictures(networks.conv(channels=[4, 9]))
    params = model.init(jax.random.key(0), x[:1])
    monkeypatch.setattr(vaejax.evaluate.likelihood, "live_bytes", lambda *_: 10)
    images, chunk = tile(model, params, x, 300, 2**21)
    program = tiled.lower(jax.random.key(0), model, params, x, 300, images, chunk)
    needs = program.compile().memory_analysis()
    assert needs.temp_size_in_bytes + needs.output_size_in_bytes <= 2**21
    # Inside of another program nothing is compiled.
    within = jax.eval_shape(lambda x: jnp.zeros(tile(model, params, x, 300, 2**21)), x)
    assert within.shape > (images, chunk)


def test_without_a_bound_any_model_and_any_number_of_images_has_an_estimate():
    model, x = pictures(networks.mlp(hidden=[40]))
    params = model.init(jax.random.key(0), x[:1])
    assert tile(model, params, x, 10, None) == (100, 10)  # all at once
    many = jax.ShapeDtypeStruct((10**6, 14, 14), "float32")  # results of 36 MB
    images, chunk = tile(model, params, many, 1000, None)
    assert images * chunk > 1000
    large, x = pictures(networks.mlp(hidden=[2**22]))  # 17 MB a layer
    params = jax.eval_shape(large.init, jax.random.key(0), x[:1])
    assert tile(large, params, x, 10, None) == (1, 1)


def test_no_images_have_no_estimates():
    estimate, terms = log_likelihood(jax.random.key(0), MODEL, PARAMS, X[:0], 10)
    assert estimate.shape == terms["pareto_k"].shape == (0,)


def pictures(network):
    """100 images of 14 x 14 and a model of them."""
    model = vaejax.latent_variable_model(
        posteriors.diagonal_normal(network, 4),
        priors.standard_normal(4),
        likelihoods.bernoulli(network, (14, 14)),
    )
    return model, jnp.zeros((100, 14, 14))


def live_bytes_of(model, params, x):
    """Of a particle of one image, asked in another way than `tile` does."""
    z = jnp.zeros((1, 4))
    return live_bytes(lambda z: model.decode(params, z).log_prob(x[:1]), z)


def test_too_little_memory_tells_how_much_is_enough():
    model, x = pictures(networks.mlp(hidden=[40]))
    params = model.init(jax.random.key(0), x[:1])
    with pytest.raises(ValueError, match="too little for one particle") as error:
        log_likelihood(jax.random.key(0), model, params, x, 10, memory=1000)
    enough = int(re.search(r"about (\d+) bytes", str(error.value))[1])
    tile(model, params, x, 10, int(1.2 * enough))
    with pytest.raises(ValueError, match="too little"):
        tile(model, params, x, 10, enough // 2)


def test_pairs_of_groups_of_draws_never_lower_the_bound():
    """Jensen: of 4,096 draws, groups of 1, 2, 4, ... up to all (Burda, theorem 1)."""
    K = 4096
    params = EXACT.params(0.6, 0.7)  # weights that vary
    log_w = jax.jit(jax.vmap(functools.partial(own_log_weights, params), (0, 0, None)))(
        jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), jnp.arange(5)),
        X,
        jnp.arange(K),
    )
    groups = np.asarray(log_w, float)  # [N, K]
    bounds = [groups.mean(axis=1)]
    while groups.shape[1] > 1:
        groups = np.logaddexp(groups[:, ::2], groups[:, 1::2]) - np.log(2)
        bounds.append(groups.mean(axis=1))
    assert len(bounds) == 13
    assert (np.diff(bounds, axis=0) > 0).all()
    estimate, terms = log_likelihood(jax.random.key(0), MODEL, params, X, K)
    np.testing.assert_allclose(estimate, bounds[-1], rtol=1e-5)
    np.testing.assert_allclose(terms["elbo"], bounds[0], rtol=1e-5)


def own_log_weights(params, key, x, which):
    """log p(x, z_k) - log q(z_k|x) of the draws that have these numbers."""
    posterior, prior = MODEL.encode(params, x[None]), MODEL.prior(params)

    def one(k):
        z = posterior.sample(jax.random.fold_in(key, k)[None])
        joint = MODEL.decode(params, z).log_prob(x[None]) + prior.log_prob(z)
        return (joint - posterior.log_prob(z))[0]

    return jax.lax.map(one, which, batch_size=256)


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
    estimate, terms = tiled(
        jax.random.key(0), model, {}, jnp.zeros((1, 2)), 5000, images=1, chunk=1
    )
    np.testing.assert_allclose(estimate, log_p, rtol=1e-7)
    np.testing.assert_allclose(terms["effective_sample_size"], 5000, rtol=1e-6)
    np.testing.assert_allclose(terms["monte_carlo_error"], 0, atol=1e-3)
