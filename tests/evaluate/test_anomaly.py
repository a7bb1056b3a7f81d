import math

import jax
import numpy as np
import pytest

import vaejax
from tests import toy
from vaejax import likelihoods, posteriors, priors
from vaejax.evaluate import (
    anomaly_scores,
    auroc,
    input_complexity,
    latent_distance,
    likelihood_regret,
)

RNG = np.random.default_rng(7)
EXACT = toy.linear_gaussian()
MODEL, PARAMS = EXACT.model(), EXACT.params()
X = EXACT.draw(40)


def test_of_a_linear_gaussian_model_likelihood_scores_are_its_exact_density():
    got = anomaly_scores(jax.random.key(0), MODEL, PARAMS, X, 3)
    exact = -EXACT.log_prob(X)
    for name in ("negative_elbo", "negative_log_likelihood"):  # the bound is tight
        np.testing.assert_allclose(got[name], exact, rtol=1e-4)
    np.testing.assert_allclose(got["distortion"] + got["rate"], exact, rtol=1e-4)
    assert "complexity_corrected" not in got


def test_the_correction_takes_the_length_of_the_code_off():
    stored = RNG.integers(0, 256, (40, 4)).astype(np.uint8)
    got = anomaly_scores(jax.random.key(1), MODEL, PARAMS, X, 2, stored=stored)
    np.testing.assert_allclose(
        got["complexity_corrected"],
        got["negative_log_likelihood"] - input_complexity(stored),
        rtol=1e-5,
    )


def test_noise_costs_its_entropy_in_nats_and_flat_or_striped_images_next_to_nothing():
    shape = (3, 64, 64)
    noise = RNG.integers(0, 256, shape).astype(np.uint8)
    entropy = 64 * 64 * math.log(256)
    costs = input_complexity(noise)
    assert costs.shape == (3,)
    assert ((costs >= entropy) & (costs < 1.01 * entropy)).all()
    row = np.broadcast_to(RNG.integers(0, 256, (3, 1, 64)), shape)
    ramp = np.broadcast_to(np.arange(64) + np.arange(64)[:, None], shape)
    for image in (np.zeros(shape), row, row.swapaxes(1, 2), ramp):
        assert (input_complexity(image) < 0.1 * entropy).all()
    bits = RNG.random(shape) < 0.5
    assert (input_complexity(bits) < 1.03 * 64 * 64 * math.log(2)).all()


def test_the_regret_of_a_linear_gaussian_model_is_the_divergence_of_q_from_the_best():
    """In units of its scale q is N(shift, stretch^2) and the best one N(0, 1)."""
    got = likelihood_regret(
        jax.random.key(9), MODEL, EXACT.params(shift=0.5, stretch=1.4), X[:4], 1000
    )
    exact = 2 * (0.5 * (1.4**2 + 0.5**2 - 1) - math.log(1.4))
    error = np.asarray(got.standard_error)
    assert error.max() < 0.06
    assert (abs(got.value - exact) < 5 * error + 5e-3).all()
    none = likelihood_regret(jax.random.key(9), MODEL, PARAMS, X[:4], 10)
    np.testing.assert_allclose(none.value, 0, atol=5e-3)


@pytest.mark.slow
def test_the_latent_distance_of_a_true_model_is_from_its_prior():
    # The aggregated posterior of a true model is its prior, N(0, I); the means have
    # its variance less that of the posterior.
    train, x = EXACT.draw(20000, seed=1), EXACT.draw(2000, seed=2)
    got = latent_distance(jax.random.key(2), MODEL, PARAMS, x, train)
    exact = np.sqrt((EXACT.loc(x) ** 2).sum(axis=1))
    assert got.shape == (2000,)
    # A variance of 20,000 draws is known to 1%, a mean to 0.007: five of each.
    np.testing.assert_allclose(got, exact, rtol=0.05, atol=0.05)
    toy.same_mean(exact**2, (1 - EXACT.scale() ** 2).sum())


@pytest.mark.slow
def test_data_moved_away_score_higher_on_every_score():
    far = X + 3
    here = anomaly_scores(jax.random.key(3), MODEL, PARAMS, X, 10)
    there = anomaly_scores(jax.random.key(3), MODEL, PARAMS, far, 10)
    for name in here:
        assert auroc(here[name], there[name]).value > 0.7, name


def test_a_direction_without_codes_counts_for_nothing():
    model = vaejax.latent_variable_model(
        posteriors.point_mass(toy.identity(), 2),
        priors.standard_normal(2),
        likelihoods.normal(toy.identity(), (4,)),
    )
    params = model.init(jax.random.key(4), X)
    head = params["posterior"]["head"]
    head["kernel"] = head["kernel"].at[:, 1].set(0)
    z = np.asarray(model.encode(params, X).mean())[:, 0]
    got = latent_distance(jax.random.key(8), model, params, X, X)
    np.testing.assert_allclose(got, abs(z - z.mean()) / z.std(ddof=1), rtol=1e-4)


def test_what_cannot_be_scored_is_an_error_that_says_what_to_do():
    with pytest.raises(ValueError, match=r"from 0 to 255.*before they are"):
        input_complexity(np.full((2, 3), 0.5))
    with pytest.raises(ValueError, match="stored has 2 images and x 40"):
        anomaly_scores(jax.random.key(5), MODEL, PARAMS, X, stored=np.zeros((2, 4)))
    with pytest.raises(ValueError, match="2 training examples are too few"):
        latent_distance(jax.random.key(6), MODEL, PARAMS, X, X[:2])
    with pytest.raises(ValueError, match="images must be at least 1, got 0"):
        latent_distance(jax.random.key(7), MODEL, PARAMS, X, X, images=0)
