import functools

import numpy as np
import pytest

from vaejax import data
from vaejax.checkpoint import params_sha256
from vaejax.data import Dataset, Split
from vaejax.evaluate import Features, classifier_features, frechet_distance

RNG = np.random.default_rng(5)


def clouds(num):
    """Three classes, far apart, in images of 2 x 2 bytes; one label is not known."""
    label = np.arange(num, dtype=np.int32) % 3
    image = 60 * label[:, None, None] + RNG.integers(0, 40, (num, 2, 2))
    label[0] = -1
    return Split(image.astype(np.uint8), label)


TINY = Dataset("clouds", clouds(91), clouds(31), None, 255.0)
small = functools.partial(
    classifier_features, TINY, hidden=(8, 5), num_steps=200, learning_rate=0.03
)


@pytest.fixture(scope="module")
def first():
    return small()


def test_the_same_data_and_seed_give_the_same_bits(first):
    again, other = small(), small(seed=1)
    assert again.sha256 == first.sha256 != other.sha256
    assert len(first.sha256) == 64
    x = TINY.validation.image / 255
    np.testing.assert_array_equal(first(x), again(x))
    assert first(x).shape == (31, 5)


@pytest.mark.slow
def test_the_accuracy_is_that_of_the_held_out_images_whose_label_is_known(first):
    assert (first.accuracy, first.standard_error) == (1, 0)
    wrong = TINY.validation.label.copy()
    wrong[1:16] = (wrong[1:16] + 1) % 3  # half of the thirty
    half = classifier_features(
        TINY._replace(test=Split(TINY.validation.image, wrong)),
        hidden=(8, 5),
        num_steps=200,
        learning_rate=0.03,
    )
    assert half.sha256 == first.sha256
    assert half.accuracy == pytest.approx(0.5)
    assert half.standard_error == pytest.approx((0.25 / 30) ** 0.5)


def test_they_tell_classes_apart_and_distances_carry_their_hash(first):
    x, label = TINY.validation.image / 255, TINY.validation.label
    own, same, other = first(x[1:]), first(x[label == 1]), first(x[label == 2])
    apart = frechet_distance(same, other, num_groups=3, sha256=first.sha256)
    near = frechet_distance(own, own, num_groups=3, sha256=first.sha256)
    assert near < apart
    with pytest.raises(ValueError, match="cannot be compared"):
        assert near < frechet_distance(x.reshape(31, 4), x.reshape(31, 4))


def test_a_function_of_your_own_is_features_without_a_hash():
    mine = Features(lambda x: x.reshape(len(x), -1), None, float("nan"), float("nan"))
    assert mine(TINY.train.image).shape == (91, 4)


@pytest.mark.slow
def test_digits_are_told_apart():
    features = classifier_features(data.load("digits"))
    print(f"accuracy {features.accuracy:.3f} +- {features.standard_error:.3f}")
    assert features.accuracy > 0.95


def test_data_without_labels_are_an_error_that_names_them():
    bare = TINY._replace(train=Split(TINY.train.image, None))
    with pytest.raises(ValueError, match="clouds has no training images with labels"):
        classifier_features(bare)
    unknown = Split(TINY.validation.image, np.full(31, -1, np.int32))
    with pytest.raises(ValueError, match="no held-out images"):
        classifier_features(TINY._replace(validation=unknown))
    with pytest.raises(ValueError, match="at least 1, got 0 and 128"):
        small(num_steps=0)
    with pytest.raises(ValueError, match="learning_rate must be positive"):
        small(learning_rate=-1.0)


def test_the_hash_is_that_of_the_parameters_it_carries(first):
    assert params_sha256(first.params) == first.sha256
