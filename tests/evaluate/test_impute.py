import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import toy, toy_conditional, toy_missing
from vaejax.base import ConditionalModel
from vaejax.evaluate import impute, impute_draws
from vaejax.missing import mask_blind

EXACT = toy.linear_gaussian()
MODEL, X = mask_blind(EXACT.model()), EXACT.draw(6)
MASK = jnp.array([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 1, 1]] * 2, bool)
PAIR = jnp.where(MASK, X, jnp.nan), MASK
PARAMS = EXACT.params(stretch=2.0)
ANSWERS = [toy_missing.hidden(EXACT, x, m) for x, m in zip(X, MASK, strict=True)]


def test_it_is_the_exact_conditional_mean_and_keeps_what_was_observed():
    """Within 5 standard errors, of the spread of E[x|z] and the effective size."""
    value, terms = impute(jax.random.key(0), MODEL, PARAMS, PAIR, 20_000, images=6)
    np.testing.assert_array_equal(value[MASK], X[MASK])
    size = np.asarray(terms["effective_sample_size"])
    assert (size > 500).all()
    assert (size <= 20_000).all()
    for own, answer, mask, n in zip(value, ANSWERS, ~MASK, size, strict=True):
        if mask.any():
            spread = np.sqrt(np.diag(answer.cov))  # of x, so at least that of E[x|z]
            error = abs(own - answer.mean)[mask]
            assert (error < 5 * spread / np.sqrt(n)).all()
            assert error.max() < 0.1


def test_particles_of_one_weight_give_the_mean_over_the_true_posterior():
    exact = toy.linear_gaussian(dim=1)
    x, seen = exact.draw(4), jnp.array([1, 0, 1, 0])
    params = toy_missing.true_posterior(exact, seen)
    model = mask_blind(exact.model())
    _, terms = impute(jax.random.key(0), model, params, (x, jnp.tile(seen, (4, 1))), 7)
    np.testing.assert_allclose(terms["effective_sample_size"], 7, rtol=1e-4)


def test_draws_have_the_conditional_mean_and_covariance():
    draws = np.asarray(
        impute_draws(jax.random.key(1), MODEL, PARAMS, PAIR, 2000, 10_000, images=6),
        np.float64,
    )  # [S, N, P]
    assert draws.shape == (2000, 6, 4)
    np.testing.assert_array_equal(draws[:, MASK], np.tile(X[MASK], (2000, 1)))
    for i in (0, 1):
        own = draws[:, i, ~MASK[i]]
        mean, cov = ANSWERS[i].mean[~np.asarray(MASK[i])], ANSWERS[i].cov
        toy.same_mean(own - mean)
        gap = own - mean
        toy.same_mean(gap[:, :, None] * gap[:, None, :], cov)


def test_of_a_conditional_model_it_is_the_mean_given_the_condition_too():
    exact = toy_conditional.conditional_gaussian()
    whole = exact.model()
    model = ConditionalModel(whole.init, lambda y: mask_blind(whole.given(y)))
    x, label = exact.draw(6)
    batch, params = ((x, MASK), label), exact.params(stretch=2.0)
    value, terms = impute(jax.random.key(0), model, params, batch, 20_000)
    shift = exact.shift[label]
    for i in range(6):
        answer = toy_missing.hidden(exact.base, x[i] - shift[i], MASK[i])
        error = abs(value[i] - answer.mean - shift[i])
        assert error.max() < 5 / np.sqrt(terms["effective_sample_size"][i])


def test_a_count_below_1_is_an_error():
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="num_particles must be at least 1, got 0"):
        impute(key, MODEL, PARAMS, PAIR, 0)
    with pytest.raises(ValueError, match="num_draws must be at least 1, got 0"):
        impute_draws(key, MODEL, PARAMS, PAIR, 0)
