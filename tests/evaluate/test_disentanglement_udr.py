import itertools
import math

import numpy as np
import pytest
import scipy.stats

from vaejax.evaluate import udr

GRID = np.array(list(itertools.product(range(3), range(4), range(5)))).astype(float)
SQUARE = np.array(list(itertools.product(range(4), repeat=2))).astype(float)
ROTATED = SQUARE @ np.array([[1, 1], [1, -1]]) / math.sqrt(2)
NOISE = np.random.default_rng(0).normal(size=(60, 3))


def plain(one, other):
    """UDR_ij in loops, with scipy's correlations."""
    R = np.zeros((one.shape[1], other.shape[1]))
    for a, b in np.ndindex(R.shape):
        R[a, b] = abs(scipy.stats.spearmanr(one[:, a], other[:, b]).statistic)
    total = sum(max(column) ** 2 / sum(column) for column in R.T)
    total += sum(max(row) ** 2 / sum(row) for row in R)
    return total / sum(R.shape)


def test_models_that_agree_but_for_order_sign_and_a_monotone_map_score_1():
    others = [GRID, GRID[:, [2, 0, 1]] * [-1, 2, 3], np.exp(GRID)]
    score = udr(others)
    np.testing.assert_allclose(score.value, [1, 1, 1], rtol=1e-12)
    assert (score.error < 0.1).all()  # without a group, the 60 are no grid
    assert np.isnan(np.diag(score.parts)).all()


def test_a_model_halfway_between_two_factors_scores_its_own_correlation_with_them():
    """All four are r, so that a term is r^2 / 2r, and so is the mean of all four."""
    r = scipy.stats.spearmanr(SQUARE[:, 0], ROTATED[:, 0]).statistic
    np.testing.assert_allclose(udr([SQUARE, ROTATED], num_groups=4).value, r / 2)


def test_constant_codes_count_for_nothing_and_models_of_nothing_else_score_0():
    more = np.insert(GRID, 1, 7.0, axis=1)
    np.testing.assert_allclose(udr([more, GRID]).value, 1)
    score = udr([GRID * 0, GRID, GRID[:, :2]])
    np.testing.assert_allclose(score.parts[0, 1:], 0)
    np.testing.assert_allclose(score.value[0], 0)
    assert (udr([GRID * 0, GRID * 0]).value == 0).all()


def test_codes_that_are_not_active_count_for_nothing():
    more = np.concatenate([GRID, NOISE], axis=1)
    active = [np.arange(6) < 3, np.ones(3, bool)]
    np.testing.assert_allclose(udr([more, GRID], active).value, 1)
    assert (udr([more, GRID]).value < 0.9).all()


def test_copies_share_what_they_correlate_with():
    """Of 3 + 6 terms the 3 are 1/2: each code of one model has two of the other."""
    twice = np.concatenate([GRID, GRID], axis=1)
    expected = (3 * 0.5 + 6) / 9
    np.testing.assert_allclose(udr([GRID, twice]).value, [expected, expected])
    np.testing.assert_allclose(udr([twice, twice, twice]).value, 0.5)


def test_it_is_the_median_of_a_second_implementation_over_all_other_models():
    random = np.random.default_rng(1)
    base = random.normal(size=(80, 3))
    codes = [base @ random.normal(size=(3, d)) for d in (2, 3, 4, 3)]
    codes = [np.round(z + 0.3 * random.normal(size=z.shape), 1) for z in codes]  # ties
    score = udr(codes)
    for i, one in enumerate(codes):
        pairs = [plain(one, other) for j, other in enumerate(codes) if j != i]
        np.testing.assert_allclose(np.delete(score.parts[i], i), pairs)
        np.testing.assert_allclose(score.value[i], np.median(pairs))
    np.testing.assert_allclose(score.parts, score.parts.T)


def test_models_that_share_nothing_score_by_chance():
    def draw(seed):
        return np.random.default_rng(seed).normal(size=(2, 60, 3))

    ours = [udr(draw(i), num_groups=2).value[0] for i in range(60)]
    others = [plain(*draw(i)) for i in range(100, 160)]
    error = math.hypot(scipy.stats.sem(ours), scipy.stats.sem(others))
    assert abs(np.mean(ours) - np.mean(others)) < 4 * error < 0.05


def test_the_error_is_the_spread_over_data_sets_or_a_little_more():
    def draw(seed):
        random = np.random.default_rng(seed)
        base = random.normal(size=(200, 2))
        return [base + random.normal(size=(200, 2)) for _ in range(3)]

    scores = [udr(draw(i), num_groups=10) for i in range(100)]
    spread = np.std([score.value for score in scores], axis=0, ddof=1)
    reported = np.sqrt(np.mean([score.error**2 for score in scores], axis=0))
    assert (0.75 * spread < reported).all()  # known to 7 per cent
    assert (reported < 1.6 * spread).all()


@pytest.mark.parametrize(
    ("codes", "active", "message"),
    [
        ([GRID], None, "at least 2 models"),
        ([GRID, GRID[1:]], None, r"same N examples, got shapes \[\(60, 3\), \(59, 3\)"),
        ([GRID, GRID[:, 0]], None, r"each \[N, D\]"),
        ([GRID, GRID * np.nan], None, "codes must be finite"),
        ([GRID, GRID], [np.ones(3, bool)], "active must be bools"),
        ([GRID, GRID], [np.ones(3, bool), np.ones(2, bool)], "active must be bools"),
    ],
    ids=["one", "length", "rank", "nan", "missing", "shape"],
)
def test_what_cannot_be_scored_is_an_error(codes, active, message):
    with pytest.raises(ValueError, match=message):
        udr(codes, active)
