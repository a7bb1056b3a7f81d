import numpy as np
import pytest
import scipy.spatial.distance

from tests import toy
from vaejax.evaluate import coverage

RNG = np.random.default_rng(2)
NAMES = ("precision", "recall", "density", "coverage")


def by_hand(real, generated, k):
    """The four, from whole matrices of distances."""
    cdist = scipy.spatial.distance.cdist
    radii_real = np.sort(cdist(real, real), axis=1)[:, k]  # the nearest is itself
    radii_generated = np.sort(cdist(generated, generated), axis=1)[:, k]
    d = cdist(real, generated)
    inside = d <= radii_real[:, None]
    return {
        "precision": inside.any(axis=0).mean(),
        "recall": (d <= radii_generated).any(axis=1).mean(),
        "density": inside.sum(axis=0).mean() / k,
        "coverage": (d.min(axis=1) <= radii_real).mean(),
    }


@pytest.mark.parametrize(("num_real", "num_generated", "k"), [(43, 31, 3), (20, 52, 1)])
def test_all_four_and_their_jackknife_are_those_of_whole_matrices(
    num_real, num_generated, k
):
    real = RNG.normal(size=(num_real, 3)).astype(np.float32)
    generated = (0.5 + RNG.normal(size=(num_generated, 3))).astype(np.float32)
    got = coverage(real, generated, num_neighbors=k, num_groups=4, rows=5, sha256="aa")
    whole = by_hand(real, generated, k)
    keep_real, keep_generated = (
        [np.arange(num) % 4 != g for g in range(4)] for num in (num_real, num_generated)
    )
    without_real = [by_hand(real[kept], generated, k) for kept in keep_real]
    without_generated = [by_hand(real, generated[kept], k) for kept in keep_generated]
    for name in NAMES:
        variance = sum(
            3 * np.var([part[name] for part in parts])
            for parts in (without_real, without_generated)
        )
        assert got[name].value == pytest.approx(whole[name], rel=1e-6)
        assert got[name].standard_error == pytest.approx(variance**0.5, rel=1e-5)
        assert got[name].sha256 == "aa"


def test_of_equal_laws_density_and_coverage_have_their_closed_forms():
    N, M, k = 30, 40, 5
    # No law matters: one of heavy tails, in two dimensions.
    draws = [
        coverage(RNG.standard_cauchy((N, 2)), RNG.standard_cauchy((M, 2)))
        for _ in range(400)
    ]
    toy.same_mean([draw["density"].value for draw in draws], 1.0)
    j = np.arange(1, k + 1)
    exact = 1 - np.prod((N - j) / (N + M - j))
    toy.same_mean([draw["coverage"].value for draw in draws], exact)
    for name in NAMES:  # the error is not too small
        told = np.mean([draw[name].standard_error ** 2 for draw in draws])
        assert told > np.var([draw[name].value for draw in draws], ddof=1)


@pytest.mark.slow
def test_a_dropped_mode_costs_recall_and_coverage_and_stray_points_cost_precision():
    near, far = RNG.normal(size=(100, 2)), 100 + RNG.normal(size=(100, 2))
    both, near_only = np.concatenate([near, far])[RNG.permutation(200)], near + 0.01
    dropped = coverage(both, near_only)
    assert dropped["precision"].value > 0.9
    assert dropped["recall"].value == pytest.approx(0.5, abs=0.02)
    assert dropped["coverage"].value == pytest.approx(0.5, abs=0.02)
    stray = coverage(near_only, both)
    assert stray["precision"].value == pytest.approx(0.5, abs=0.02)
    assert stray["recall"].value > 0.9


@pytest.mark.slow
def test_a_set_covers_itself_and_each_point_counts_in_its_own_ball():
    x = RNG.normal(size=(60, 4))
    got = coverage(x, x[::-1])
    assert [got[name].value for name in ("precision", "recall", "coverage")] == [1] * 3
    assert got["density"].value == pytest.approx(6 / 5)


def test_what_cannot_be_measured_is_an_error_that_says_what_to_do():
    x = RNG.normal(size=(20, 2))
    with pytest.raises(ValueError, match=r"\(20, 2\) and \(20, 1\): flatten"):
        coverage(x, x[:, :1])
    with pytest.raises(ValueError, match="num_groups at least 2, got 5, 32 and 1"):
        coverage(x, x, num_groups=1)
    with pytest.raises(ValueError, match="6 points less one of 10 groups have no 5"):
        coverage(x, x[:6])
    with pytest.raises(ValueError, match="finite"):
        coverage(x, x * np.nan)
