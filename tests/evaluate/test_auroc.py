"""The area under the curve, by pairs, by scikit-learn and by its spread."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from vaejax.evaluate import auroc

RNG = np.random.default_rng


def test_it_is_the_share_of_pairs_in_order_ties_at_one_half():
    inside, outside = RNG(0).integers(0, 6, 30), RNG(1).integers(2, 8, 20)
    pairs = [(o > i) + (o == i) / 2 for o in outside for i in inside]
    got = auroc(inside, outside)
    assert got.value == pytest.approx(np.mean(pairs))
    labels = np.repeat([0, 1], [30, 20])
    both = np.concatenate([inside, outside])
    assert got.value == pytest.approx(roc_auc_score(labels, both))
    assert auroc(outside, inside).value == pytest.approx(1 - got.value)


def test_its_error_is_its_spread_and_its_mean_that_of_normals():
    draws = [
        auroc(RNG(2 * i).normal(size=50), 1 + RNG(2 * i + 1).normal(size=80))
        for i in range(1000)
    ]
    values = np.array([draw.value for draw in draws])
    errors = np.array([draw.standard_error for draw in draws])
    assert abs(values.mean() - 0.76025) < 5 * values.std() / np.sqrt(1000)  # at 1/sqrt2
    np.testing.assert_allclose(np.sqrt((errors**2).mean()), values.std(), rtol=0.12)


def test_perfect_and_constant_scores():
    assert auroc([1, 2, 3], [4, 5, np.inf]) == (1, 0)
    assert auroc([1, 1, 1], [1, 1]) == (0.5, 0)


@pytest.mark.parametrize("scores", [[1.0], [1.0, np.nan], [[1.0, 2.0]]], ids=str)
def test_what_is_no_row_of_scores_is_told(scores):
    with pytest.raises(ValueError, match="outside must be at least 2 scores"):
        auroc([1, 2], scores)
