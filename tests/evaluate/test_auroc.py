import math

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import roc_auc_score

from tests import toy
from vaejax.evaluate import auroc

RNG = np.random.default_rng(6)


def test_it_is_sklearns_with_ties_and_without():
    for inside, outside in [
        (RNG.normal(size=40), 0.5 + RNG.normal(size=23)),
        (RNG.integers(0, 4, 30), RNG.integers(1, 5, 50)),
    ]:
        truth = np.repeat([0, 1], [len(inside), len(outside)])
        expected = roc_auc_score(truth, np.concatenate([inside, outside]))
        assert math.isclose(auroc(inside, outside).value, expected, rel_tol=1e-12)
        assert math.isclose(auroc(outside, inside).value, 1 - expected, rel_tol=1e-12)


def test_by_hand_the_ends_and_a_tie():
    assert auroc([0, 1], [2, math.inf]) == (1, 0)
    assert auroc([2, 3], [0, 1]) == (0, 0)
    # The outlier 0 is above half of one inlier of two, as it ties with it.
    got = auroc([0, 1], [0, 2])
    assert got.value == (0.25 + 1) / 2
    of_outside, of_inside = np.var([0.25, 1], ddof=1), np.var([0.75, 0.5], ddof=1)
    assert got.standard_error == pytest.approx(math.sqrt((of_outside + of_inside) / 2))


def test_of_two_normals_it_is_the_closed_form_and_the_error_that_of_repeated_draws():
    shift = 0.8
    draws = [
        auroc(RNG.normal(size=60), shift + RNG.normal(size=90)) for _ in range(1000)
    ]
    values = np.array([draw.value for draw in draws])
    toy.same_mean(values, scipy.stats.norm.cdf(shift / math.sqrt(2)))
    # Half of the squared difference of two has the mean of the variance.
    pairs = (values[::2] - values[1::2]) ** 2 / 2
    told = np.mean([draw.standard_error**2 for draw in draws])
    toy.same_mean(pairs, told)


def test_no_score_or_no_number_is_an_error():
    with pytest.raises(ValueError, match=r"at least 2, got shapes \(1,\) and \(2,\)"):
        auroc([0], [0, 1])
    with pytest.raises(ValueError, match="A score is NaN"):
        auroc([0, math.nan], [0, 1])
