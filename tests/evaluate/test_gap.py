import functools

import jax
import numpy as np
import pytest

import vaejax
from tests import toy
from vaejax import likelihoods, posteriors, priors
from vaejax.evaluate import inference_gap, log_likelihood

EXACT = toy.linear_gaussian()
# Rows that are not orthogonal: no diagonal normal is the posterior.
SKEW = toy.LinearGaussian(
    np.array([[1.2, 0.4, -0.3, 0.0], [0.8, 0.0, 0.2, 0.9]]), EXACT.bias, 0.8
)
PRECISION = SKEW.weight @ SKEW.weight.T / SKEW.noise**2 + np.eye(2)
PARTS = ("amortization_gap", "approximation_gap", "inference_gap")


@functools.cache
def gaps(exact=False):
    toy_model = EXACT if exact else SKEW
    return inference_gap(
        jax.random.key(0), toy_model.model(), toy_model.params(0.4, 1.3), data(exact)
    )


def data(exact=False):
    return (EXACT if exact else SKEW).draw(6)


def divergence(loc, scale, x):
    """KL(N(loc, scale^2) || p(z|x)) in the skew model, `[N]`, by hand in float64."""
    mean = (np.asarray(x, float) - SKEW.bias) @ SKEW.weight.T / SKEW.noise**2
    gap = loc - np.linalg.solve(PRECISION, mean.T).T
    trace = (np.diag(PRECISION) * scale**2).sum()
    square = np.einsum("nd,de,ne->n", gap, PRECISION, gap)
    log_det = np.linalg.slogdet(PRECISION)[1] + 2 * np.log(scale).sum()
    return 0.5 * (trace - 2 + square - log_det)


def near(got, name, expected, slack=2e-3):
    """Within 5 standard errors and what a fit of finitely many steps may lack."""
    error = np.asarray(got.standard_error[name])
    assert error.max() < 0.12
    assert (abs(got.estimate[name] - expected) < 5 * error + slack).all(), name


def test_where_the_family_holds_the_posterior_all_of_the_gap_is_amortisation():
    got = gaps(exact=True)
    log_p = EXACT.log_prob(data(exact=True))
    each = 0.5 * (1.3**2 + 0.4**2 - 1) - np.log(1.3)
    near(got, "amortization_gap", 2 * each)
    near(got, "approximation_gap", 0.0)
    np.testing.assert_allclose(got.estimate["best_elbo"], log_p, atol=2e-3)
    assert (got.effective_sample_size > 990).all()


def test_the_best_diagonal_normal_is_the_mean_field_solution():
    """Its scale is 1 / sqrt(diag(precision)) and its loc the posterior mean."""
    got, x = gaps(), data()
    approximation = 0.5 * (
        np.log(np.diag(PRECISION)).sum() - np.linalg.slogdet(PRECISION)[1]
    )
    assert approximation > 0.05
    total = divergence(SKEW.loc(x) + 0.4 * SKEW.scale(), 1.3 * SKEW.scale(), x)
    near(got, "approximation_gap", approximation)
    near(got, "amortization_gap", total - approximation)
    near(got, "inference_gap", total)
    near(got, "log_likelihood", SKEW.log_prob(x))
    near(got, "best_elbo", SKEW.log_prob(x) - approximation)


def test_the_parts_add_up():
    got = gaps().estimate
    a, b, total = (got[name] for name in PARTS)
    np.testing.assert_allclose(a + b, total, atol=1e-4)
    np.testing.assert_allclose(a, got["best_elbo"] - got["elbo"], atol=1e-4)
    np.testing.assert_allclose(b, got["log_likelihood"] - got["best_elbo"], atol=1e-4)


def test_without_steps_all_of_the_gap_is_approximation():
    """And log p(x) is that of `log_likelihood`, from other draws."""
    model, params, x = SKEW.model(), SKEW.params(0.4, 1.3), data()
    got = inference_gap(
        jax.random.key(1), model, params, x, num_steps=1, learning_rate=0.0
    )
    assert (got.estimate["amortization_gap"] == 0).all()
    assert (got.standard_error["amortization_gap"] == 0).all()
    expected, other = log_likelihood(jax.random.key(2), model, params, x)
    error = np.hypot(got.standard_error["log_likelihood"], other["monte_carlo_error"])
    assert (abs(got.estimate["log_likelihood"] - expected) < 5 * error).all()
    np.testing.assert_allclose(
        got.standard_error["log_likelihood"], other["monte_carlo_error"], rtol=0.5
    )


@pytest.mark.slow
def test_the_reported_errors_are_the_spread_over_many_keys():
    @jax.jit
    @jax.vmap
    def repeat(key):
        got = inference_gap(
            key, SKEW.model(), SKEW.params(0.4, 1.3), data()[:1], 100, num_steps=100
        )
        return got.estimate, got.standard_error

    estimate, error = repeat(toy.keys(3, 1000))
    for name in estimate:
        ratio = estimate[name].std() / np.sqrt((error[name] ** 2).mean())
        assert ratio == pytest.approx(1, abs=0.15), name


def test_the_chunks_change_nothing():
    got = inference_gap(
        jax.random.key(0),
        SKEW.model(),
        SKEW.params(0.4, 1.3),
        data(),
        images=4,
        chunk=7,
    )
    for name, expected in gaps().estimate.items():
        np.testing.assert_allclose(got.estimate[name], expected, rtol=1e-3, atol=1e-3)


def test_another_family_and_counts_out_of_range_are_errors():
    model = vaejax.latent_variable_model(
        posteriors.full_normal(toy.identity(), 2),
        priors.standard_normal(2),
        likelihoods.normal(toy.identity(), (4,)),
    )
    params = model.init(jax.random.key(0), data())
    with pytest.raises(TypeError, match=r"FullNormal: use posteriors.diagonal_normal"):
        inference_gap(jax.random.key(0), model, params, data())
    for name, least in [("num_particles", 2), ("num_steps", 1), ("images", 1)]:
        with pytest.raises(ValueError, match=f"{name} must be at least {least}, got 0"):
            inference_gap(
                jax.random.key(0), SKEW.model(), SKEW.params(), data(), **{name: 0}
            )
