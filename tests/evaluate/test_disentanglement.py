"""The scores that are given codes and factors, in one table."""

import itertools
import math
from typing import NamedTuple

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from sklearn.linear_model import Lasso
from sklearn.metrics import mutual_info_score
from sklearn.preprocessing import StandardScaler

from tests import toy
from vaejax.evaluate import dci, irs, modularity, mutual_information_gap, sap
from vaejax.evaluate.disentanglement.score import jackknife

GRID = np.array(list(itertools.product(range(3), range(4), range(5))) * 2)
SQUARE = np.array(list(itertools.product(range(4), range(4))) * 4)
SCORES = {
    "mutual_information_gap": mutual_information_gap,
    "modularity": modularity,
    "sap": sap,
    "irs": irs,
    "disentanglement": lambda *args, **kwargs: dci(*args, **kwargs).disentanglement,
    "completeness": lambda *args, **kwargs: dci(*args, **kwargs).completeness,
    "informativeness": lambda *args, **kwargs: dci(*args, **kwargs).informativeness,
}


class Row(NamedTuple):
    """What a score is, exactly."""

    perfect: float = 1
    rotated: float = 0  # by 45 degrees, of two factors of four values
    constant: float = 0
    twice: float = 0  # every code and its copy


TABLE = {
    "mutual_information_gap": Row(),
    "modularity": Row(twice=1),
    "sap": Row(),
    "irs": Row(rotated=0.5, twice=1),
    "disentanglement": Row(twice=1),
    "completeness": Row(twice=1),
}
each_score = pytest.mark.parametrize("name", TABLE)


def near(value, expected):
    np.testing.assert_allclose(value, expected, atol=1e-9)


@each_score
def test_codes_that_are_the_factors_have_the_best_score_without_error(name):
    score = SCORES[name](GRID, GRID)
    near(score.value, TABLE[name].perfect)
    near(score.parts, TABLE[name].perfect)
    assert score.error < 0.02  # without a group the factors are not quite independent


@each_score
def test_order_sign_scale_and_origin_of_codes_mean_nothing(name):
    codes = GRID[:, [2, 0, 1]] * [-3.0, 0.1, 20] + [1, -7, 0]
    near(SCORES[name](codes, GRID).value, TABLE[name].perfect)


@each_score
def test_codes_halfway_between_two_factors_have_the_score_of_the_definition(name):
    codes = SQUARE @ np.array([[1, 1], [1, -1]]) / math.sqrt(2)
    near(SCORES[name](codes, SQUARE).value, TABLE[name].rotated)


@each_score
def test_constant_codes_have_the_score_that_is_documented(name):
    score = SCORES[name](np.full((120, 2), 0.1), GRID)
    near(score.value, TABLE[name].constant)
    near(score.error, 0)


@each_score
def test_copies_of_codes_have_the_score_that_is_documented(name):
    codes = np.concatenate([GRID, GRID], axis=1)
    near(SCORES[name](codes, GRID).value, TABLE[name].twice)


@each_score
def test_factors_that_do_not_vary_and_gaps_in_their_values_change_nothing(name):
    random = np.random.default_rng(0)
    codes = GRID @ random.normal(size=(3, 2)) + random.normal(size=(120, 2))
    other = np.insert(GRID * 7 - 3, 1, 5, axis=1)
    one, two = SCORES[name](codes, GRID), SCORES[name](codes, other)
    near(one.value, two.value)
    near(one.error, two.error)
    near(one.parts, two.parts)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mutual_information_gap", 0.5),
        ("modularity", 0.5),
        ("sap", 0.5),
        ("irs", 1),
        ("disentanglement", 1),
        ("completeness", 1),  # a factor that no code predicts has no weight
    ],
)
def test_a_factor_that_no_code_knows_and_a_code_of_nothing_count_as_they_should(
    name, expected
):
    codes = np.stack([SQUARE[:, 0], np.zeros(64)], axis=1)
    near(SCORES[name](codes, SQUARE).value, expected)


def test_a_single_code_has_no_second():
    near(mutual_information_gap(SQUARE[:, :1], SQUARE[:, :1]).value, 1)
    near(sap(SQUARE[:, :1], SQUARE[:, :1]).value, 1)
    near(modularity(SQUARE[:, :1], SQUARE[:, :1]).value, 1)
    scores = dci(SQUARE[:, :1], SQUARE[:, :1])
    near([scores.disentanglement.value, scores.completeness.value], 1)


def test_informativeness_is_what_the_penalty_leaves_of_the_variance():
    random = np.random.default_rng(0)
    factors = random.integers(0, 4, (4000, 2))
    rotated = factors @ np.array([[1, 1], [1, -1]]) / math.sqrt(2)
    for codes, expected in ((factors, 1 - 0.2**2), (rotated, 1 - 2 * 0.2**2)):
        score = dci(codes, factors, penalty=0.2).informativeness
        np.testing.assert_allclose(score.value, expected, atol=0.01)
    assert dci(rotated, factors, penalty=1e-4).informativeness.value > 0.9999
    constant = dci(np.ones((4000, 2)), factors).informativeness
    assert -0.01 < constant.value <= 0


# ---------------------------------------------------------- second implementations


def bins(code):
    """As `numpy.histogram` has them, the last closed."""
    edges = np.histogram(code, 20)[1][1:-1]
    return np.digitize(code, edges)


def table(codes, factors):
    return np.array(
        [[mutual_info_score(bins(z), v) for v in factors.T] for z in codes.T]
    )


def plain_mig(codes, factors):
    gaps = []
    for column, v in zip(table(codes, factors).T, factors.T, strict=True):
        second, first = sorted(column)[-2:]
        gaps.append((first - second) / scipy.stats.entropy(np.bincount(v)))
    return gaps


def plain_modularity(codes, factors):
    scores = []
    for row in table(codes, factors):
        template = np.where(row == row.max(), row.max(), 0)
        deviation = ((row - template) ** 2).sum() / row.max() ** 2 / (len(row) - 1)
        scores.append(1 - deviation)
    return scores


def plain_sap(codes, factors):
    gaps = []
    for v in factors.T:
        second, first = sorted(scipy.stats.pearsonr(z, v)[0] ** 2 for z in codes.T)[-2:]
        gaps.append(first - second)
    return gaps


def plain_irs(codes, factors):
    scores = []
    for z in codes.T:
        robust = []
        for v in factors.T:
            far = [
                np.percentile(abs(z[v == a] - z[v == a].mean()), 99)
                for a in np.unique(v)
            ]
            robust.append(1 - sum(far) / len(far) / abs(z - z.mean()).max())
        scores.append(max(robust))
    return scores


def plain_importance(codes, factors):
    x = StandardScaler().fit_transform(codes)
    fits = [
        Lasso(alpha=0.01, tol=1e-12, max_iter=100_000).fit(x, (v - v.mean()) / v.std())
        for v in factors.T
    ]
    return np.stack([abs(fit.coef_) for fit in fits], axis=1)


def plain_disentanglement(codes, factors):
    R = plain_importance(codes, factors)
    return [1 - scipy.stats.entropy(row, base=R.shape[1]) for row in R]


def plain_completeness(codes, factors):
    R = plain_importance(codes, factors)
    return [1 - scipy.stats.entropy(column, base=R.shape[0]) for column in R.T]


PLAIN = {
    "mutual_information_gap": plain_mig,
    "modularity": plain_modularity,
    "sap": plain_sap,
    "irs": plain_irs,
    "disentanglement": plain_disentanglement,
    "completeness": plain_completeness,
}


def weights(name, codes, factors):
    """Of the parts in the score."""
    if name == "irs":
        return abs(codes - codes.mean(axis=0)).max(axis=0)
    if name in ("disentanglement", "completeness"):
        axis = 1 if name == "disentanglement" else 0
        return plain_importance(codes, factors).sum(axis=axis)
    return None


def mixed(seed, num=300, signal=1.0):
    """Codes that know something of three factors."""
    random = np.random.default_rng(seed)
    factors = random.integers(0, (2, 5, 9), (num, 3))
    codes = random.normal(size=(num, 4))
    known = factors - factors.mean(axis=0)
    mix = np.array([[1.0, 0, 0.2, 0], [0, 0.5, 0.3, 0], [0, 0, 0.2, 0.1]])
    return codes + signal * known @ mix, factors


@each_score
@pytest.mark.parametrize("signal", [0, 1])
def test_it_agrees_with_a_second_implementation(name, signal):
    codes, factors = mixed(1, signal=signal)
    score, expected = SCORES[name](codes, factors), PLAIN[name](codes, factors)
    np.testing.assert_allclose(score.parts, expected, atol=1e-7)
    average = np.average(expected, weights=weights(name, codes, factors))
    np.testing.assert_allclose(score.value, average, atol=1e-7)


def test_importance_and_informativeness_agree_with_scikit_learn():
    codes, factors = mixed(2, num=2000)
    scores = dci(codes, factors)
    expected = plain_importance(codes, factors)
    np.testing.assert_allclose(scores.importance, expected, atol=1e-7)
    seen, new = slice(0, 1000), slice(1000, 2000)
    scaler = StandardScaler().fit(codes[seen])
    for v, explained in zip(factors.T, scores.informativeness.parts, strict=True):
        scale = v[seen].std()
        fit = Lasso(alpha=0.01 * scale).fit(scaler.transform(codes[seen]), v[seen])
        other = fit.score(scaler.transform(codes[new]), v[new])  # another half
        assert abs(other - explained) < 0.06


def test_the_share_of_variance_between_values_is_that_of_an_analysis_of_variance():
    codes, factors = mixed(3)
    shares = []
    for z in codes.T:
        groups = [z[factors[:, 1] == a] for a in range(5)]
        F = scipy.stats.f_oneway(*groups).statistic
        shares.append(F / (F + (300 - 5) / (5 - 1)))
    second, first = sorted(shares)[-2:]
    parts = sap(codes, factors, categorical=(1,)).parts
    np.testing.assert_allclose(parts[1], first - second)
    assert sap(codes, factors).parts[1] != parts[1]
    np.testing.assert_allclose(parts[[0, 2]], sap(codes, factors).parts[[0, 2]])
    shifted = factors.copy()
    shifted[:, 1] = (2 * factors[:, 1]) % 5  # another order
    np.testing.assert_allclose(sap(codes, shifted, categorical=(1,)).parts, parts)


# ------------------------------------------------------------------ chance and errors


@each_score
def test_random_codes_score_by_chance_as_in_the_second_implementation(name):
    """Independent draws of both; the difference within 4 standard errors."""
    ours = [SCORES[name](*mixed(i, 80, 0), num_groups=2).value for i in range(30)]
    others = []
    for i in range(100, 130):
        codes, factors = mixed(i, 80, 0)
        parts = np.nan_to_num(PLAIN[name](codes, factors))  # NaN has weight 0
        others.append(np.average(parts, weights=weights(name, codes, factors)))
    gap = np.mean(ours) - np.mean(others)
    error = math.hypot(scipy.stats.sem(ours), scipy.stats.sem(others))
    assert 0 < error < 0.03
    assert abs(gap) < 4 * error


def test_the_sap_of_normal_noise_is_the_expected_gap_of_two_beta_variables():
    """R^2 is Beta(1/2, N/2 - 1), and E |a - b| = 2 int F (1 - F)."""
    num, law = 20, scipy.stats.beta(0.5, 9)
    exact = 2 * scipy.integrate.quad(lambda t: law.cdf(t) * law.sf(t), 0, 1)[0]
    random = np.random.default_rng(0)
    v = np.arange(num)[:, None] % 3
    draws = [sap(random.normal(size=(num, 2)), v, num_groups=2) for _ in range(1500)]
    toy.same_mean([[draw.value] for draw in draws], [exact])


@pytest.mark.parametrize(
    "name", ["mutual_information_gap", "modularity", "sap", "disentanglement"]
)
def test_the_error_is_the_spread_over_data_sets_or_a_little_more(name):
    """The spread is known to 5 or, of 60, 9 per cent."""
    num = 60 if name == "disentanglement" else 200
    scores = [SCORES[name](*mixed(i, 400), num_groups=10) for i in range(num)]
    spread = np.std([score.value for score in scores], ddof=1)
    ratio = np.sqrt(np.mean([score.error**2 for score in scores])) / spread
    print(f"{name}: reported error over spread {ratio:.2f}")
    assert 0.85 < ratio < 1.6


def test_the_jackknife_of_a_mean_is_its_standard_error():
    x = np.random.default_rng(0).normal(size=(12, 3))
    error = jackknife(lambda x: x.mean(axis=0), x, num_groups=12)
    np.testing.assert_allclose(error, scipy.stats.sem(x))
    together = jackknife(
        lambda x, y: np.array((x - y).mean(axis=0)), x, x, num_groups=4
    )
    np.testing.assert_array_equal(together, 0)  # all arrays lose the same rows


# ----------------------------------------------------------------------------- errors


@each_score
@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (GRID[:-1], GRID, r"same N examples, got \(119, 3\) and \(120, 3\)"),
        (GRID[:, 0], GRID, r"codes must be \[N, D\]"),
        (np.where(GRID == 2, np.nan, GRID), GRID, "codes must be finite"),
        (GRID, GRID + 0.5, "factors must be integers.*float64"),
        (GRID, GRID * 0, "At least one factor must vary"),
    ],
    ids=["length", "rank", "nan", "dtype", "constant"],
)
def test_what_cannot_be_scored_is_an_error(name, codes, factors, message):
    with pytest.raises(ValueError, match=message):
        SCORES[name](codes, factors)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("sap", {"num_groups": 1}, "num_groups must be from 2 to .* 120, got 1"),
        ("irs", {"num_groups": 121}, "got 121"),
        ("irs", {"quantile": 1.5}, r"quantile must be in \[0, 1\], got 1.5"),
        ("modularity", {"num_bins": 1}, "num_bins must be at least 2, got 1"),
        ("sap", {"categorical": (3,)}, "columns from 0 to 2, got"),
        ("completeness", {"penalty": 0}, "penalty must be positive"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_an_error(name, wrong, message):
    with pytest.raises(ValueError, match=message):
        SCORES[name](GRID, GRID, **wrong)
