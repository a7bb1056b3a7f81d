import math

import numpy as np
import pytest
from scipy import stats

from experiments.report import subject as subjects
from experiments.report.corruption import psnr
from experiments.report.denoise import combine
from experiments.report.distances import frechet_distance, gaussian_kl_to_prior, prdc
from experiments.report.page import number
from experiments.report.separation import agreement
from experiments.report.statistics import over_both, over_one, paired, signed


def test_mean_over_seeds_has_students_interval():
    x = np.array([1.0, 2.0, 4.0, 5.0])
    estimate = over_one(x)
    expected = stats.t.interval(0.95, 3, loc=3, scale=stats.sem(x))
    assert estimate.value == 3
    assert estimate.standard_error == pytest.approx(stats.sem(x))
    assert (estimate.low, estimate.high) == pytest.approx(expected)


def test_additive_seeds_and_images_add_their_variances():
    seeds, images = np.array([0.0, 1.0, 5.0]), np.array([2.0, 3.0, 3.0, 8.0])
    estimate = over_both(seeds[:, None] + images)
    expected = seeds.var(ddof=1) / 3 + images.var(ddof=1) / 4
    assert estimate.standard_error == pytest.approx(math.sqrt(expected))


def test_without_seed_effect_the_error_is_that_of_images():
    images = np.array([2.0, 3.0, 3.0, 8.0])
    estimate = over_both(np.tile(images, (5, 1)))
    alone = over_one(images)
    assert estimate == pytest.approx(alone)


def test_intervals_of_seeds_and_images_cover_the_truth():
    rng, covered, total = np.random.default_rng(0), 0, 600
    for _ in range(total):
        x = rng.normal(size=(8, 1)) + rng.normal(size=50) + rng.normal(size=(8, 50))
        estimate = over_both(x)
        covered += estimate.low <= 0 <= estimate.high
    # Six standard errors below 95 %, the false-alarm probability is under 1e-6.
    assert covered / total > 0.95 - 6 * math.sqrt(0.95 * 0.05 / total)


def test_pairing_removes_what_both_share():
    shared = np.random.default_rng(0).normal(size=(4, 30))
    gap = paired(shared + 0.5, shared)
    assert gap.value == pytest.approx(0.5)
    assert gap.standard_error == pytest.approx(0, abs=1e-12)
    assert gap.clear
    assert not paired(np.array([1.0, -1.0, 0.5]), np.zeros(3)).clear


def exactly(rng, mean, root):
    """Vectors whose sample mean and covariance are exactly mean and root root^T."""
    x = rng.normal(size=(200, len(mean)))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return mean + x @ root.T


def test_frechet_distance_of_gaussians_with_known_moments():
    rng = np.random.default_rng(0)
    a = exactly(rng, np.array([0.0, 1.0]), np.diag([1.0, 2.0]))
    b = exactly(rng, np.array([3.0, 1.0]), np.diag([4.0, 0.5]))
    assert frechet_distance(a, b) == pytest.approx(9 + 3**2 + 1.5**2)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_does_not_need_commuting_covariances():
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(1)
    a = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 3))
    b = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 3)) + 1
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    shift = a.mean(axis=0) - b.mean(axis=0)
    root = sqrtm(first @ second).real
    expected = shift @ shift + np.trace(first + second - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected)


def test_prdc_by_hand():
    real = np.array([[0.0], [1.0], [2.0], [10.0]])  # radii 1, 1, 1, 8 for k = 1
    generated = np.array([[0.5], [1.5], [30.0]])  # radii 1, 1, 28.5
    score = prdc(real, generated, num_neighbors=1)
    # 0.5 is in the balls of 0 and 1, 1.5 in those of 1 and 2, 30 in none.
    assert score.precision == pytest.approx(2 / 3)
    assert score.density == pytest.approx((2 + 2 + 0) / 3)
    # 30's ball reaches to 1.5: it holds 2 and 10; 0.5's holds 0 and 1.
    assert score.recall == 1
    # The ball of 10 reaches to 2, and no generated vector is in it.
    assert score.coverage == pytest.approx(3 / 4)


def test_prdc_of_sets_that_do_not_meet_is_zero():
    real, generated = np.arange(8.0)[:, None], 100 + np.arange(8.0)[:, None]
    assert prdc(real, generated, num_neighbors=2) == (0, 0, 0, 0)


def test_combined_posterior_is_the_product_of_densities_on_a_grid():
    loc, scale = np.array([0.3, -0.2, 1.1]), np.array([0.5, 0.8, 0.6])
    z = np.linspace(-8, 8, 20001)
    log = sum(stats.norm.logpdf(z, m, s) for m, s in zip(loc, scale, strict=True))
    log = log - 2 * stats.norm.logpdf(z)  # the prior is in there three times
    weight = np.exp(log - log.max())
    mean, bad = combine(loc, scale)
    assert mean == pytest.approx((weight * z).sum() / weight.sum(), abs=1e-6)
    assert not bad


def test_copies_that_say_nothing_leave_the_prior():
    mean, bad = combine(np.zeros((8, 2)), np.ones((8, 2)))
    assert (mean == 0).all()
    assert not bad.any()


def test_combination_without_positive_precision_is_the_geometric_mean():
    loc, scale = np.array([1.0, 3.0]), np.array([1.5, 1.5])  # 2 / 2.25 - 1 < 0
    mean, bad = combine(loc, scale)
    assert bad
    assert mean == pytest.approx(2)


def test_kl_of_fitted_gaussian_to_prior():
    x = exactly(np.random.default_rng(0), np.array([2.0, 0.0]), np.diag([1.0, 3.0]))
    expected = 0.5 * (4 + (9 - 1 - math.log(9)))
    assert gaussian_kl_to_prior(x) == pytest.approx(expected)


def test_psnr_of_a_known_error():
    truth = np.zeros((2, 3, 3))
    image = np.stack([truth + 0.1, truth + 0.01])
    assert psnr(image, truth) == pytest.approx(np.array([[20, 20], [40, 40]]))


def test_clusters_are_matched_to_classes_one_to_one():
    label = np.array([5, 5, 5, 7, 7, 9])
    cluster = np.array([1, 1, 0, 0, 0, 2])
    assert agreement(cluster, label).sum() == 5


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        ((28, 20), (28, 20)),
        ((28, 20, 1), (28, 20)),
        ((9, 9, 3), (9, 9, 3)),
        ((3, 9, 8), (9, 8, 3)),
        ((784,), (28, 28)),
        ((7,), (3, 3)),
        ((1,), (1, 1)),
        ((2, 3, 4, 5), (11, 11)),
    ],
)
def test_every_event_shape_can_be_shown(event, shown):
    assert subjects.pictures(np.zeros((4, 2, *event)), event).shape == (4, 2, *shown)


def test_values_outside_the_unit_interval_are_mapped_by_training_values():
    train = np.array([[-2.0, 2.0]], np.float32)
    x, words = subjects.unit(np.array([[0.0, 5.0]]), train, 1.0)
    assert x.tolist() == [[0.5, 1.0]]
    assert "-2" in words
    assert subjects.unit(np.array([[0, 8]]), np.array([[0, 16]]), 16.0)[1] == ""


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(-0.001, 2, "0.00"), (-1.5, 1, "\N{MINUS SIGN}1.5"), (1234, 2, "1,234")],
)
def test_numbers_are_shown_without_minus_zero(value, decimals, text):
    assert number(value, decimals) == text
    assert "-" not in signed(value, decimals)


@pytest.mark.parametrize(
    ("spec", "title"),
    [
        ("digits", "digits"),
        ("npz:/a/b/faces.npz", "faces.npz"),
        ("idx:some/folder/", "folder"),
        ("tfds:name", "name"),
    ],
)
def test_the_title_keeps_the_last_part_of_a_path(spec, title):
    image = np.zeros((2, 3, 3), np.float32)
    subject = subjects.Subject(spec, image, None, image, None, None, None, 0, ())
    assert subject.title == title
    assert subject.is_ink
