"""Distances between sets of features: closed forms, theorems, plain loops."""

import numpy as np
import pytest
import scipy.linalg

from tests import toy
from vaejax.evaluate import coverage, frechet_distance, kernel_distance

RNG = np.random.default_rng


def with_moments(mean, cov, num, seed):
    """Points `[num, F]` that have these moments exactly."""
    x = RNG(seed).normal(size=(num, len(mean)))
    x = (x - x.mean(axis=0)) @ np.linalg.inv(
        np.linalg.cholesky(np.cov(x, rowvar=False)).T
    )
    return x @ np.linalg.cholesky(cov).T + mean


def random_cov(dim, seed):
    root = RNG(seed).normal(size=(dim, dim))
    return root @ root.T + 0.1 * np.eye(dim)


def test_the_frechet_distance_is_that_of_normals_by_scipys_root():
    mean, a, b = np.arange(4.0), random_cov(4, 1), random_cov(4, 2)
    got = frechet_distance(
        with_moments(mean, a, 100, 3), with_moments(-mean, b, 80, 4)
    ).value
    root = scipy.linalg.sqrtm(a @ b).real
    expected = 4 * mean @ mean + np.trace(a + b - 2 * root)
    np.testing.assert_allclose(got, expected, rtol=1e-9)


def test_normals_along_the_axes_are_apart_by_means_and_scales():
    one = with_moments(np.zeros(2), np.diag([1.0, 4.0]), 50, 0)
    other = with_moments(np.array([3.0, 0.0]), np.diag([9.0, 1.0]), 50, 1)
    expected = 9 + (1 - 3) ** 2 + (2 - 1) ** 2
    np.testing.assert_allclose(frechet_distance(one, other).value, expected, rtol=1e-9)


def test_a_set_is_at_distance_0_from_itself_though_its_covariance_has_no_full_rank():
    x = RNG(0).normal(size=(50, 2)) @ RNG(1).normal(size=(2, 10))
    assert abs(frechet_distance(x, x[::-1]).value) < 1e-6
    shifted = frechet_distance(x, x + 1).value
    np.testing.assert_allclose(shifted, 10, rtol=1e-6)


def test_the_error_of_the_frechet_distance_is_its_spread():
    draws = [
        frechet_distance(
            RNG(2 * i).normal(size=(200, 3)), 1 + RNG(2 * i + 1).normal(size=(300, 3))
        )
        for i in range(200)
    ]
    spread = np.std([d.value for d in draws])
    np.testing.assert_allclose(
        np.mean([d.standard_error for d in draws]), spread, rtol=0.25
    )


def test_the_kernel_distance_is_its_definition():
    a, b = RNG(0).normal(size=(60, 3)), RNG(1).normal(size=(47, 3)) + 0.5

    def k(x, y):
        return (x @ y / 3 + 1) ** 3

    values = []
    for start in (0, 20):
        x, y = a[start : start + 20], b[start : start + 20]
        pairs = [(i, j) for i in range(20) for j in range(20) if i != j]
        own = sum(k(x[i], x[j]) + k(y[i], y[j]) for i, j in pairs) / len(pairs)
        values.append(own - 2 * np.mean([[k(u, v) for v in y] for u in x]))
    got = kernel_distance(a, b, num_block=20)
    np.testing.assert_allclose(got.value, np.mean(values), rtol=1e-9)
    error = np.std(values, ddof=1) / np.sqrt(2)
    np.testing.assert_allclose(got.standard_error, error, rtol=1e-9)


def test_the_kernel_distance_of_equal_laws_is_0_on_average():
    draws = [
        kernel_distance(*RNG(i).normal(size=(2, 40, 3)), num_block=20).value
        for i in range(400)
    ]
    assert min(draws) < 0 < max(draws)
    toy.same_mean(np.array(draws))


@pytest.mark.parametrize("num", [(40, 60), (300, 270)])
def test_coverage_is_its_definition(num):
    """By plain loops; 300 is more than one block of rows."""
    real = RNG(0).normal(size=(num[0], 2))
    fake = 0.7 * RNG(1).normal(size=(num[1], 2)) + 0.3
    k = 3

    def reach(points):
        far = [sorted(np.linalg.norm(points - p, axis=1))[k] for p in points]
        return np.array(far)

    distance = np.linalg.norm(real[:, None] - fake, axis=2)
    inside = distance <= reach(real)[:, None]
    got = coverage(real, fake, num_neighbors=k)
    assert got.precision.value == pytest.approx(inside.any(axis=0).mean())
    assert got.recall.value == pytest.approx(
        (distance <= reach(fake)).any(axis=1).mean()
    )
    assert got.density.value == pytest.approx(inside.sum() / (k * len(fake)))
    assert got.coverage.value == pytest.approx(inside.any(axis=1).mean())
    p = got.precision.value
    error = np.sqrt(p * (1 - p) / (len(fake) - 1))
    assert got.precision.standard_error == pytest.approx(error)


def test_equal_laws_have_the_density_and_coverage_of_the_theorem():
    num_real, num_fake, k = 40, 30, 3
    draws = []
    for seed in range(400):
        x = RNG(seed).normal(size=(num_real + num_fake, 2))
        got = coverage(x[:num_real], x[num_real:], num_neighbors=k)
        draws.append([got.density.value, got.coverage.value])
    misses = [(num_real - i) / (num_real + num_fake - i) for i in range(1, k + 1)]
    toy.same_mean(np.array(draws)[:, 1], 1 - np.prod(misses))
    # A ball holds k of the other num_real - 1 real points, so k / num_real of the law
    # on average: order statistics.
    toy.same_mean(np.array(draws)[:, 0], 1)


def test_a_dropped_mode_lowers_recall_and_coverage_only():
    real = np.concatenate(
        [RNG(0).normal(size=(100, 2)), RNG(1).normal(size=(100, 2)) + 50]
    )
    fake = RNG(2).normal(size=(100, 2))
    got = coverage(real, fake)
    assert got.precision.value > 0.9
    assert got.density.value > 0.8
    assert got.recall.value < 0.55
    assert got.coverage.value < 0.55


@pytest.mark.parametrize("measure", [frechet_distance, kernel_distance, coverage])
def test_bad_features_are_told(measure):
    x = RNG(0).normal(size=(300, 3))
    with pytest.raises(ValueError, match="flatten"):
        measure(x, x[:, :2])
    with pytest.raises(ValueError, match="at least"):
        measure(x, x[:3])
    with pytest.raises(ValueError, match="finite"):
        measure(x, x * np.nan)


def test_a_count_below_its_least_is_an_error():
    x = RNG(0).normal(size=(300, 3))
    with pytest.raises(ValueError, match="num_block"):
        kernel_distance(x, x, num_block=1)
    with pytest.raises(ValueError, match="num_neighbors"):
        coverage(x, x, num_neighbors=0)
