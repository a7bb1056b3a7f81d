import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from tests import toy
from vaejax.distributions import Bernoulli

LOGITS = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32) * 3


@pytest.mark.parametrize("event_ndims", [0, 1, 2])
def test_log_prob_is_scipys_summed_over_the_event_and_nothing_else(event_ndims):
    x = np.asarray(toy.bits(3, 4))
    probability = scipy.special.expit(LOGITS.astype(float))
    terms = scipy.stats.bernoulli(probability).logpmf(x)
    expected = terms.sum(axis=tuple(range(2 - event_ndims, 2)))
    got = Bernoulli(LOGITS, event_ndims).log_prob(x)
    assert got.shape == (3, 4)[: 2 - event_ndims]
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_the_probabilities_of_all_values_sum_to_1():
    values = jnp.asarray(list(itertools.product([0.0, 1.0], repeat=4)))  # [16, 4]
    total = jnp.exp(Bernoulli(LOGITS[:, None]).log_prob(values)).sum(axis=-1)
    np.testing.assert_allclose(total, np.ones(3), rtol=1e-5)


def test_log_prob_and_its_gradient_are_exact_at_logits_of_10000():
    logits = jnp.array([1e4, 1e4, -1e4, -1e4, 104.0, 104.0])
    x = jnp.array([1.0, 0.0, 1.0, 0.0, 1.0, 0.0])

    def terms(logits):
        return Bernoulli(logits, event_ndims=0).log_prob(x)

    np.testing.assert_allclose(terms(logits), [0, -1e4, -1e4, 0, 0, -104], atol=1e-6)
    gradient = jax.grad(lambda logits: terms(logits).sum())(logits)
    np.testing.assert_allclose(gradient, [0, -1, 1, 0, 0, -1], atol=1e-6)


def test_the_gradient_is_x_minus_the_probability_at_zero_too():
    logits = jnp.array([0.0, 0.0, -2.0, 3.0])
    x = jnp.array([1.0, 0.0, 1.0, 0.3])
    gradient = jax.grad(lambda logits: Bernoulli(logits).log_prob(x))(logits)
    np.testing.assert_allclose(gradient, x - scipy.special.expit(logits), rtol=1e-5)


def test_draws_are_zeros_and_ones_with_the_right_frequencies():
    x = Bernoulli(jnp.asarray(LOGITS)).sample(jax.random.key(0), (4000,))
    assert x.dtype == jnp.float32
    assert set(np.unique(x)) == {0.0, 1.0}
    toy.same_mean(x, scipy.special.expit(LOGITS))


def test_the_mean_is_the_probability_of_a_1():
    expected = scipy.special.expit(LOGITS)
    np.testing.assert_allclose(Bernoulli(LOGITS).mean(), expected, rtol=1e-5)
