"""Explicitness, and the regression and ranks that it is made of."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from tests import toy
from vaejax.evaluate import explicitness
from vaejax.evaluate.disentanglement.logistic_regression import logistic_regression
from vaejax.evaluate.disentanglement.ranks import (
    area_under_curve,
    midranks,
    rank_correlation,
)
from vaejax.evaluate.disentanglement.score import shuffled

BITS = np.array(list(itertools.product(range(2), repeat=3)) * 25)
ROTATION = scipy.stats.special_ortho_group(3, seed=0).rvs()


def mixed(seed, num=400, signal=1.0):
    random = np.random.default_rng(seed)
    factors = random.integers(0, (2, 4), (num, 2))
    return random.normal(size=(num, 3)) + signal * factors @ np.ones((2, 3)), factors


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (BITS, 1),
        (BITS[:, [2, 0, 1]] * [-3.0, 0.1, 7] + 5, 1),
        (BITS @ ROTATION, 1),  # a half space stays one
        (np.repeat(BITS, 2, axis=1), 1),
        (np.full((200, 2), 0.1), 0.5),
        (np.insert(np.zeros((200, 2)), 0, BITS[:, 0], axis=1), (1 + 0.5 + 0.5) / 3),
    ],
    ids=["perfect", "permuted", "rotated", "twice", "constant", "one of three"],
)
def test_it_is_what_the_definition_gives(codes, expected):
    score = explicitness(codes, BITS)
    if expected == pytest.approx(2 / 3):  # equal bits are not quite independent
        np.testing.assert_allclose(score.value, expected, atol=0.03)
        np.testing.assert_allclose(score.parts[0], 1)
    else:
        np.testing.assert_allclose(score.value, expected, rtol=1e-12)
        np.testing.assert_allclose(score.error, 0, atol=1e-12)


def test_the_middle_of_an_ordered_factor_is_beyond_a_line():
    factor = np.tile(np.arange(3), 200)[:, None]
    score = explicitness(factor, factor).value
    assert 2 / 3 < score < 0.95  # both ends are exact, the middle is worth 0 to 1
    one_hot = np.eye(3)[factor[:, 0]]
    np.testing.assert_allclose(explicitness(one_hot, factor).value, 1)


@pytest.mark.parametrize("signal", [0, 1])
def test_it_agrees_with_scikit_learn(signal):
    codes, factors = mixed(1, signal=signal)
    half = shuffled(400) % 2 == 0
    x = StandardScaler().fit(codes[half]).transform(codes)
    parts = []
    for v in factors.T:
        areas = []
        for a in np.unique(v):
            fit = LogisticRegression(C=0.5, tol=1e-10).fit(x[half], v[half] == a)
            odds = fit.decision_function(x[~half])
            areas.append(roc_auc_score(v[~half] == a, odds))
        parts.append(np.mean(areas))
    got = explicitness(codes, factors, penalty=2.0)
    np.testing.assert_allclose(got.parts, parts, atol=2e-4)
    np.testing.assert_allclose(got.value, np.mean(parts), atol=2e-4)


def test_random_codes_score_one_half():
    draws = [explicitness(*mixed(i, 100, 0), num_groups=2).value for i in range(60)]
    toy.same_mean(np.reshape(draws, (-1, 1)), [0.5])
    assert abs(np.mean(draws) - 0.5) < 4 * scipy.stats.sem(draws) < 0.03


def test_the_error_is_the_spread_over_examples_judged_on():
    scores = [explicitness(*mixed(i, signal=0.5)) for i in range(40)]
    spread = np.std([score.value for score in scores], ddof=1)
    ratio = np.sqrt(np.mean([score.error**2 for score in scores])) / spread
    assert 0.65 < ratio < 1.5  # the spread is known to 11 per cent


def test_the_order_of_examples_does_not_matter_in_itself():
    """A grid in order: its first half lacks values of the first factor."""
    assert explicitness(np.sort(BITS, axis=0), np.sort(BITS, axis=0)).value == 1


@pytest.mark.parametrize("num_classes", [2, 3])
def test_the_regression_is_that_of_scikit_learn(num_classes):
    random = np.random.default_rng(0)
    y = random.integers(0, num_classes, 200)
    x = random.normal(size=(200, 3)) * [1, 10, 0.1] + y[:, None] * [1, 5, 0] - 3
    fit = logistic_regression(x, y, num_classes, penalty=0.7)
    scaled = StandardScaler().fit_transform(x)
    C = 1 / 0.7 if num_classes > 2 else 2 / 0.7
    other = LogisticRegression(C=C, tol=1e-12, max_iter=10_000).fit(scaled, y)
    odds = fit.odds(x)
    p = np.exp(odds) / np.exp(odds).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p, other.predict_proba(scaled), atol=1e-5)


def test_the_regression_converges_where_classes_are_far_apart():
    """The sum over examples of p - target is 0 where the intercepts are free."""
    y = np.repeat([0, 1, 2], 50)
    x = np.stack([y * 1000.0, np.ones(150), (y == 1) * 1.0], axis=1)
    fit = logistic_regression(x, y, 3, penalty=1e-6)
    odds = fit.odds(x)
    p = np.exp(odds - odds.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    assert (odds.argmax(axis=1) == y).all()
    np.testing.assert_allclose(p.sum(axis=0), 50, atol=1e-5)
    assert np.isfinite(fit.weight).all()
    assert (fit.weight[1] == 0).all()  # of the constant feature


def test_ranks_and_areas_and_correlations_are_those_of_scipy_and_scikit_learn():
    x = np.random.default_rng(0).integers(0, 6, (50, 3)).astype(float)
    np.testing.assert_array_equal(midranks(x[:, 0]), scipy.stats.rankdata(x[:, 0]))
    expected = scipy.stats.spearmanr(x).statistic
    np.testing.assert_allclose(rank_correlation(x), expected, atol=1e-12)
    positive = x[:, 1] > 3
    expected = roc_auc_score(positive, x[:, 0])
    assert math.isclose(area_under_curve(x[:, 0], positive), expected)
    constant = rank_correlation(np.stack([x[:, 0], np.ones(50)], axis=1))
    np.testing.assert_allclose(constant, [[1, 0], [0, 0]], atol=1e-12)


def test_what_cannot_be_scored_is_an_error():
    with pytest.raises(ValueError, match="penalty must be positive, got 0"):
        explicitness(BITS, BITS, penalty=0)
    with pytest.raises(ValueError, match=r"some value must be in both halves.*4 exam"):
        explicitness(np.eye(4), np.arange(4)[:, None])
    with pytest.raises(ValueError, match="codes must be finite"):
        explicitness(np.where(BITS, np.inf, 0), BITS)
