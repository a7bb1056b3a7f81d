import math

import numpy as np
import pytest
import scipy.linalg

from vaejax.evaluate import Measurement, frechet_distance

RNG = np.random.default_rng(0)


def with_moments(num, mean, covariance):
    """Rows whose sample mean and covariance (divisor N - 1) are exactly these."""
    rows = RNG.normal(size=(num, len(mean)))
    rows -= rows.mean(axis=0)
    rows = rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows.T))).T
    return rows @ np.linalg.cholesky(covariance).T + mean


def test_a_set_is_at_distance_zero_from_itself_whatever_its_rank():
    for shape in [(50, 4), (12, 30)]:
        rows = 100 + 7 * RNG.normal(size=shape)
        assert abs(frechet_distance(rows, rows[::-1]).value) < 1e-9


def test_of_commuting_covariances_it_is_the_distance_of_means_and_of_scales():
    mean_a, mean_b = np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0, 5.0])
    scale_a, scale_b = np.array([1.0, 2.0, 0.5]), np.array([3.0, 2.0, 1.0])
    axes = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
    a = with_moments(20, mean_a, axes * scale_a**2 @ axes.T)
    b = with_moments(31, mean_b, axes * scale_b**2 @ axes.T)
    expected = ((mean_a - mean_b) ** 2).sum() + ((scale_a - scale_b) ** 2).sum()
    assert math.isclose(frechet_distance(a, b).value, expected, rel_tol=1e-9)


def test_it_is_scipys_square_root_where_covariances_do_not_commute():
    a = RNG.normal(size=(60, 5)) @ RNG.normal(size=(5, 5))
    b = RNG.normal(size=(40, 5)) @ RNG.normal(size=(5, 5)) + 0.3
    root = scipy.linalg.sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    gap = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
    expected = gap + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)
    assert math.isclose(frechet_distance(a, b).value, expected, rel_tol=1e-9)
    assert math.isclose(frechet_distance(b, a).value, expected, rel_tol=1e-9)


def test_the_standard_error_is_the_spread_over_repeated_draws():
    draws = [
        frechet_distance(
            RNG.normal(size=(200, 3)), 1 + 2 * RNG.normal(size=(300, 3)), num_groups=20
        )
        for _ in range(200)
    ]
    spread = np.std([draw.value for draw in draws], ddof=1)
    told = np.sqrt(np.mean([draw.standard_error**2 for draw in draws]))
    print(f"spread {spread:.4f}, told {told:.4f}")
    # Of 200 draws the spread is known to 5%, what is told to 2.5%: five of their norm.
    assert abs(told / spread - 1) < 5 * math.hypot(0.05, 0.025)


def test_distances_in_different_features_cannot_be_compared():
    one, other = Measurement(1.0, 0.3, "aa"), Measurement(3.0, 0.4, "bb")
    near = Measurement(2.0, 0.4, "aa")
    assert (one < near, near > one, one <= one, near >= one) == (True,) * 4
    assert (near < one, one > near, near <= one, one >= near) == (False,) * 4
    assert min(near, one) is one
    assert near - one == Measurement(1.0, pytest.approx(0.5), "aa")
    for compare in [one.__lt__, one.__gt__, one.__le__, one.__ge__, one.__sub__]:
        for stranger in [other, other._replace(sha256=None)]:
            with pytest.raises(ValueError, match=r"of aa and of .* cannot be compared"):
                compare(stranger)


def test_the_result_carries_the_hash_of_its_features():
    rows = RNG.normal(size=(20, 2))
    assert frechet_distance(rows, rows, sha256="aa").sha256 == "aa"
    assert frechet_distance(rows, rows).sha256 is None


def test_what_is_no_pair_of_sets_is_an_error_that_says_what_to_do():
    rows = RNG.normal(size=(20, 2))
    with pytest.raises(ValueError, match=r"\(20, 2\) and \(20,\): flatten"):
        frechet_distance(rows, rows[:, 0])
    with pytest.raises(ValueError, match=r"got \(20, 2\) and \(20, 1\)"):
        frechet_distance(rows, rows[:, :1])
    with pytest.raises(ValueError, match=r"At least 10 rows .* got 9 and 20"):
        frechet_distance(rows[:9], rows)
    with pytest.raises(ValueError, match="At least 4 rows"):
        frechet_distance(rows[:3], rows, num_groups=2)
    with pytest.raises(ValueError, match="at least 2, got 1"):
        frechet_distance(rows, rows, num_groups=1)
    with pytest.raises(ValueError, match="finite"):
        frechet_distance(rows, rows * np.nan)
