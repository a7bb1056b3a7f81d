"""Annealed importance sampling against the exact log p(x) of a linear model."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax
from tests import toy
from vaejax import likelihoods, networks, posteriors, priors
from vaejax.distributions import Normal
from vaejax.evaluate import annealed, annealed_log_likelihood, bidirectional

EXACT = toy.linear_gaussian()
MODEL, PARAMS = EXACT.model(), EXACT.params()


def density_of(beta=1.0):
    """One image's, and the exact mean and covariance of its tempered posterior."""
    x = EXACT.draw(1, seed=3)
    precision = np.eye(2) + beta * EXACT.weight @ EXACT.weight.T / EXACT.noise**2
    cov = np.linalg.inv(precision)
    shift = beta * (np.asarray(x[0]) - EXACT.bias) @ EXACT.weight.T / EXACT.noise**2
    return annealed._density(MODEL, PARAMS, x), cov @ shift, cov


def test_it_is_log_p_of_x_within_4_standard_errors():
    x = EXACT.draw(16, seed=1)
    estimate, terms = annealed_log_likelihood(
        jax.random.key(1), MODEL, PARAMS, x, 100, num_temperatures=50
    )
    gap = np.asarray(estimate) - EXACT.log_prob(x)
    error = np.asarray(terms["monte_carlo_error"])
    assert (abs(gap) < 4 * error).all()
    assert (terms["acceptance"] > 0.5).all()
    assert (terms["effective_sample_size"] > 20).all()
    assert (abs(terms["acceptance"] - annealed.TARGET) < 0.34).all()


def test_the_posterior_of_the_model_plays_no_part():
    x = EXACT.draw(3, seed=1)
    run = functools.partial(annealed_log_likelihood, jax.random.key(1), MODEL, x=x)
    one, _ = run(PARAMS, num_chains=4, num_temperatures=5)
    far, _ = run(EXACT.params(3.0, 0.2), num_chains=4, num_temperatures=5)
    np.testing.assert_array_equal(one, far)


def test_one_temperature_is_importance_sampling_from_the_prior():
    x = EXACT.draw(1, seed=2)
    density, *_ = density_of()
    key = jax.random.key(0)
    log_w, _, _ = annealed._forward(key, density, 5, 1, 3)
    z = density.prior.sample(jax.random.split(jax.random.clone(key), 4)[2], (5, 1))
    np.testing.assert_allclose(log_w, density.likelihood(z), rtol=1e-5)
    assert x.shape == (1, 4)


def test_weights_are_unbiased():
    """E[w] = p(x), forward; E[w] = 1 / p(x) from an exact posterior draw, back."""
    density, mean, cov = density_of()
    log_p = float(EXACT.log_prob(EXACT.draw(1, seed=3)))

    @jax.jit
    def both(key):
        there, begin, back = jax.random.split(key, 3)
        log_w, _, sizes = annealed._forward(there, density, 5000, 60, 5)
        z = jax.random.multivariate_normal(begin, mean, cov, (5000, 1))
        return log_w, annealed._reverse(back, density, z, sizes, 5)

    there, back = both(jax.random.key(5))
    toy.same_mean(np.exp(np.asarray(there, float) - log_p), 1)
    toy.same_mean(np.exp(np.asarray(back, float) + log_p), 1)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_a_move_leaves_the_tempered_posterior_as_it_is(beta):
    density, mean, cov = density_of(beta)
    begin, move = jax.random.split(jax.random.key(7))
    z = jax.random.multivariate_normal(begin, mean, cov, (40_000, 1))
    step = jax.jit(lambda key, z: annealed.hamiltonian(key, density, z, beta, 0.5, 4))
    new, moved = step(move, z.astype(float))
    assert 0.3 < moved.mean() < 1
    assert abs(new - z)[moved].max() > 0.1
    gap = np.asarray(new[:, 0], float) - mean
    toy.same_mean(gap)
    toy.same_mean(gap[:, :, None] * gap[:, None], cov)


def test_a_move_is_its_own_reverse():
    """Leapfrog with the momentum turned round comes back to where it was."""
    density, *_ = density_of()
    slope = jax.grad(lambda z: density.tempered(1.0, z).sum())
    start = jnp.array([[[0.3, -0.7]]]), jnp.array([[[1.1, 0.4]]])

    def leapfrog(z, momentum, size=0.1):
        for _ in range(5):
            momentum = momentum + size / 2 * slope(z)
            z = z + size * momentum
            momentum = momentum + size / 2 * slope(z)
        return z, momentum

    z, momentum = leapfrog(*start)
    back, turned = leapfrog(z, -momentum)
    np.testing.assert_allclose(back, start[0], atol=1e-5)
    np.testing.assert_allclose(-turned, start[1], atol=1e-5)


def test_the_sandwich_closes_on_the_exact_value():
    got = bidirectional(
        jax.random.key(2), MODEL, PARAMS, 20, 32, num_temperatures=100, num_leapfrog=5
    )
    exact = EXACT.log_prob(got.x)
    assert (got.lower - 4 * got.lower_error < exact).all()
    assert (got.upper + 4 * got.upper_error > exact).all()
    assert np.mean(got.upper - got.lower) < 0.1
    assert abs(np.mean(got.lower - exact)) < 0.05


@pytest.mark.slow
def test_more_temperatures_close_the_bounds_of_a_neural_model():
    network = networks.mlp(hidden=(8,))
    model = vaejax.latent_variable_model(
        posteriors.diagonal_normal(network, 2),
        priors.standard_normal(2),
        likelihoods.bernoulli(network, (20,)),
    )
    params = model.init(jax.random.key(0), jnp.zeros((4, 20)))
    params["likelihood"] = jax.tree.map(lambda a: 3 * a, params["likelihood"])

    def gap(num):
        counts = {"num_temperatures": num, "num_leapfrog": 3}
        got = bidirectional(jax.random.key(1), model, params, 24, 8, **counts)
        return float(np.mean(got.upper - got.lower))

    assert -0.1 < gap(400) < 0.1 < gap(10)


def test_the_temperatures_go_from_0_to_1():
    betas = np.asarray(annealed.temperatures(10))
    assert betas[0] == 0
    assert betas[-1] == 1
    assert (np.diff(betas) > 0).all()
    np.testing.assert_allclose(betas + betas[::-1], 1, atol=1e-6)


@pytest.mark.parametrize("counts", [{"num_chains": 1}, {"num_temperatures": 0}])
def test_a_count_below_its_least_is_an_error(counts):
    with pytest.raises(ValueError, match="at least 2"):
        annealed_log_likelihood(
            jax.random.key(0), MODEL, PARAMS, EXACT.draw(2), **counts
        )


def test_a_hierarchy_is_refused():
    normal = Normal(jnp.zeros(2), jnp.ones(2))

    class Two:
        def sample(self, key, shape=()):
            return normal.sample(key, shape), normal.mean()

    model = MODEL._replace(prior=lambda params: Two())
    with pytest.raises(TypeError, match="hierarchy"):
        annealed_log_likelihood(jax.random.key(0), model, PARAMS, EXACT.draw(2))
