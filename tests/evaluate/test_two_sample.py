import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from scipy.spatial.distance import cdist, pdist

from tests import toy
from vaejax.evaluate import two_sample_test

RNG = np.random.default_rng(3)


def by_hand(x, y):
    """The unbiased MMD^2 and the median distance, from whole matrices."""
    sigma = np.median(pdist(np.concatenate([x, y])))

    def k(a, b):
        return np.exp(-cdist(a, b, "sqeuclidean") / (2 * sigma**2))

    def within(a):
        return (k(a, a).sum() - len(a)) / (len(a) * (len(a) - 1))

    return within(x) + within(y) - 2 * k(x, y).mean(), sigma


def test_the_statistic_is_the_unbiased_one_with_the_median_distance():
    x, y = RNG.normal(size=(9, 3)), 0.5 + RNG.normal(size=(14, 3))
    got = two_sample_test(jax.random.key(0), x, y, 20)
    statistic, sigma = by_hand(x, y)
    assert math.isclose(got.statistic, statistic, rel_tol=1e-4)
    assert math.isclose(got.bandwidth, sigma, rel_tol=1e-5)


def test_the_p_value_is_that_of_all_divisions():
    x, y = RNG.normal(size=(4, 2)), 0.9 + RNG.normal(size=(5, 2))
    rows = np.concatenate([x, y])
    divisions = [list(first) for first in itertools.combinations(range(9), 4)]
    values = [by_hand(rows[f], np.delete(rows, f, axis=0))[0] for f in divisions]
    exact = np.mean(np.array(values) >= by_hand(x, y)[0] - 1e-9)
    P = 5000
    got = float(two_sample_test(jax.random.key(1), x, y, P).p_value)
    count = round(got * (P + 1)) - 1
    assert 0.01 < exact < 0.9
    assert scipy.stats.binomtest(count, P, exact).pvalue > toy.FALSE_ALARM


@pytest.mark.slow
def test_p_values_are_uniform_where_the_laws_are_equal():
    num, P = 2000, 19
    data = jax.random.t(jax.random.key(2), 3.0, (num, 13, 2))

    def one(pair):
        key, rows = pair
        return two_sample_test(key, rows[:5], rows[5:], P).p_value

    p = jax.jit(lambda *pair: jax.lax.map(one, pair, batch_size=100))(
        toy.keys(3, num), data
    )
    counts = np.bincount(np.rint(np.asarray(p) * (P + 1)).astype(int), minlength=P + 2)
    assert counts[0] == 0  # p is never 0
    assert scipy.stats.chisquare(counts[1:]).pvalue > toy.FALSE_ALARM


def test_a_shift_and_a_stretch_are_found():
    x = RNG.normal(size=(100, 3))
    for y in (0.7 + RNG.normal(size=(80, 3)), 2 * RNG.normal(size=(80, 3))):
        assert two_sample_test(jax.random.key(4), x, y).p_value == pytest.approx(1e-3)


@pytest.mark.slow
def test_copies_of_one_point_are_no_evidence():
    same = jnp.ones((6, 2))
    assert two_sample_test(jax.random.key(5), same, same, 50).p_value == 1


@pytest.mark.slow
def test_the_chunks_change_nothing():
    x, y = RNG.normal(size=(6, 2)), RNG.normal(size=(8, 2))
    values = [
        two_sample_test(jax.random.key(6), x, y, 40, chunk=chunk).p_value
        for chunk in (7, 64)
    ]
    assert values[0] == values[1]


def test_of_what_is_not_finite_there_is_no_p_value():
    x = jnp.ones((4, 2)).at[0, 0].set(jnp.nan)
    assert jnp.isnan(two_sample_test(jax.random.key(7), x, jnp.ones((5, 2)), 9).p_value)


def test_too_few_rows_or_counts_are_errors():
    x = jnp.ones((4, 2))
    with pytest.raises(ValueError, match="2 rows, got 1 and 4"):
        two_sample_test(jax.random.key(7), x[:1], x)
    with pytest.raises(ValueError, match="at least 1, got 0 and 64"):
        two_sample_test(jax.random.key(8), x, x, 0)
    with pytest.raises(AssertionError):
        two_sample_test(jax.random.key(9), x, x[:, :1])
