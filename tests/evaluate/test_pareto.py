"""The tail of importance weights: known laws, known tails, and another program."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from tests import toy
from vaejax.evaluate import log_likelihood
from vaejax.evaluate.likelihood import tiled
from vaejax.evaluate.pareto import pareto_k, tail_size

EXACT = toy.linear_gaussian()


def by_loops(log_weights):
    """Zhang and Stephens' estimate, written from the paper in float64."""
    w = np.exp(np.asarray(log_weights, float) - np.max(log_weights))
    x = np.sort(w)[1:] - np.sort(w)[0]
    n = len(x)
    m = 30 + int(np.sqrt(n))
    bs, likelihoods = [], []
    for j in range(1, m + 1):
        b = 1 / x[n - 1] + (1 - np.sqrt(m / (j - 0.5))) / (3 * x[int(n / 4 + 0.5) - 1])
        k = -np.mean([np.log(1 - b * xi) for xi in x])
        bs.append(b)
        likelihoods.append(n * (np.log(b / k) + k - 1))
    weights = [
        1 / sum(np.exp(other - own) for other in likelihoods) for own in likelihoods
    ]
    b = sum(w * b for w, b in zip(weights, bs, strict=True))
    return (n * np.mean(np.log(1 - b * x)) + 5) / (n + 10)


@pytest.mark.parametrize("num", [5, 40, 95, 300])
@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0])
def test_it_is_the_estimate_of_the_paper(num, spread):
    rng = np.random.default_rng(num)
    log_w = -np.sort(-spread * rng.normal(size=num + 1)) - 1000
    got = pareto_k(jnp.asarray(log_w, float))
    # The weights are told apart in float32, from logs of size 1000.
    np.testing.assert_allclose(got, by_loops(np.float32(log_w)), atol=2e-3)


@pytest.mark.parametrize("k", [-0.3, 0.2, 0.7, 1.2])
def test_draws_of_the_law_give_back_its_shape(k):
    """On average, as near as the pull of ten observations towards 1/2 lets it."""
    num = 500
    draws = scipy.stats.genpareto(k).rvs((400, num), random_state=1)
    x = -np.sort(-np.append(draws, np.zeros((400, 1)), axis=1)) + 1  # and a threshold
    got = np.asarray(jax.jit(jax.vmap(pareto_k))(jnp.log(jnp.asarray(x, float))))
    expected = (num * k + 5) / (num + 10)
    assert abs(got.mean() - expected) < 5 * got.std() / 20 + 0.01
    assert got.std() < 0.1


@pytest.mark.parametrize("scale", [0.5, 0.7])
def test_a_narrow_proposal_has_the_tail_that_theory_gives_it(scale):
    """N(0, 1) / N(0, s): the weights fall off as w ** (-1 / (1 - s ** 2))."""
    z = scale * np.random.default_rng(0).normal(size=(20, 40_000))
    log_w = jnp.sort(jnp.asarray(z**2 * (1 / scale**2 - 1) / 2, float))[:, ::-1]
    got = jax.vmap(pareto_k)(log_w[:, : tail_size(40_000) + 1])
    assert abs(float(got.mean()) - (1 - scale**2)) < 0.12


def test_a_wide_proposal_is_trusted_and_a_narrow_one_is_not():
    x = EXACT.draw(8)
    run = jax.jit(
        lambda key, params: log_likelihood(key, EXACT.model(), params, x, 2000)[1]
    )
    wide = run(jax.random.key(0), EXACT.params(0.0, 1.3))["pareto_k"]
    narrow = run(jax.random.key(0), EXACT.params(0.0, 0.4))["pareto_k"]
    assert (wide < 0.5).all()
    assert narrow.mean() > 0.7


def test_it_is_that_of_all_weights_at_once_whatever_the_chunks():
    x, params = EXACT.draw(2), EXACT.params(0.4, 0.8)

    def run(images, chunk):
        key = jax.random.key(0)
        return tiled(key, EXACT.model(), params, x, 1000, images, chunk)[1]["pareto_k"]

    expected = run(2, 1000)
    for sizes in ((1, 16), (2, 7)):
        np.testing.assert_allclose(run(*sizes), expected, atol=1e-3)


def test_equal_weights_have_no_tail_and_few_weights_none_to_speak_of():
    assert pareto_k(jnp.full(50, -700.0)) == -jnp.inf
    assert tail_size(20) == 0
    assert tail_size(21) == 5
    assert tail_size(1000) == 95
    got = log_likelihood(
        jax.random.key(0), EXACT.model(), EXACT.params(), EXACT.draw(2), 20
    )
    assert np.isnan(got[1]["pareto_k"]).all()
