import math

import numpy as np
import pytest

from tests import toy
from vaejax.evaluate import kernel_distance

RNG = np.random.default_rng(1)


def by_hand(a, b):
    """Every pair of different rows, one by one."""

    def k(x, y):
        return (x @ y / len(x) + 1) ** 3

    num = len(a)
    pairs = [(i, j) for i in range(num) for j in range(num) if i != j]
    within = np.mean([k(a[i], a[j]) + k(b[i], b[j]) for i, j in pairs])
    return within - 2 * np.mean([k(x, y) for x in a for y in b])


def test_it_is_the_mean_of_the_statistics_of_disjoint_blocks():
    a, b = RNG.normal(size=(23, 4)), 0.5 + RNG.normal(size=(30, 4))
    values = [by_hand(a[i:21:3], b[i:21:3]) for i in range(3)]
    got = kernel_distance(a, b, num_blocks=3, sha256="aa")
    assert math.isclose(got.value, np.mean(values), rel_tol=1e-10)
    error = np.std(values, ddof=1) / math.sqrt(3)
    assert math.isclose(got.standard_error, error, rel_tol=1e-10)
    assert got.sha256 == "aa"


def test_its_expectation_is_the_closed_form_of_two_normals_and_zero_for_equal_laws():
    # In one dimension E k(x, y) = 1 + 3 m + 3 s2 + s3, products of the moments of x
    # and y: so the MMD^2 is 3 dm^2 + 3 ds^2 + dt^2, of first, second, third moments.
    def distances(loc, num=300):
        return [
            kernel_distance(RNG.normal(size=(40, 1)), loc + RNG.normal(size=(60, 1)))
            for _ in range(num)
        ]

    loc = 0.4
    exact = 3 * loc**2 + 3 * (loc**2) ** 2 + (loc**3 + 3 * loc) ** 2
    toy.same_mean([d.value for d in distances(loc)], exact)
    same = distances(0.0)
    toy.same_mean([d.value for d in same])
    # Of two at a time: half of the squared difference has the mean of the variances.
    values = np.array([d.value for d in same]).reshape(-1, 2)
    told = np.array([d.standard_error**2 for d in same]).reshape(-1, 2)
    toy.same_mean((values[:, 0] - values[:, 1]) ** 2 / 2 - told.mean(axis=1))


def test_large_features_lose_no_digits_to_cancellation():
    a = 300 + RNG.normal(size=(20, 3))
    value = kernel_distance(a, a + 1e-3, num_blocks=2).value
    expected = np.mean([by_hand(a[i::2], a[i::2] + 1e-3) for i in range(2)])
    assert math.isclose(value, expected, rel_tol=1e-6)


def test_what_is_no_pair_of_sets_is_an_error_that_says_what_to_do():
    rows = RNG.normal(size=(20, 2))
    with pytest.raises(ValueError, match=r"\(20, 2\) and \(20,\): flatten"):
        kernel_distance(rows, rows[:, 0])
    with pytest.raises(ValueError, match=r"10 blocks need 20 rows .* got 19 and 20"):
        kernel_distance(rows[:19], rows)
    with pytest.raises(ValueError, match="at least 2, got 1"):
        kernel_distance(rows, rows, num_blocks=1)
    with pytest.raises(ValueError, match="finite"):
        kernel_distance(rows, rows * np.inf)
