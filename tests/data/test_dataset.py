"""Holding out, hashing, and the error."""

import pickle

import numpy as np
import pytest

from vaejax.data import DataError, Split, sha256
from vaejax.data.dataset import hold_out


def numbered(num_images: int) -> Split:
    index = np.arange(num_images, dtype=np.int32)
    return Split(index[:, None], index)


@pytest.mark.parametrize(
    ("num_images", "fraction", "num_held"),
    [(100, 0.1, 10), (100, 0.0, 0), (7, 0.1, 1), (2, 0.01, 1), (10, 0.9, 9)],
)
def test_the_parts_are_disjoint_complete_and_in_order(
    num_images, fraction, num_held
) -> None:
    train, held = hold_out(numbered(num_images), fraction, 0, "name")
    assert held.label is not None
    assert train.label is not None
    assert len(held.label) == num_held
    both = np.concatenate([train.label, held.label])
    np.testing.assert_array_equal(np.sort(both), np.arange(num_images))
    for part in (train, held):
        assert part.label is not None
        assert (np.diff(part.label) > 0).all()
        np.testing.assert_array_equal(part.image[:, 0], part.label)


def test_the_images_held_out_depend_on_the_seed_alone() -> None:
    # Written down so that no release of NumPy changes them unnoticed.
    chosen = [hold_out(numbered(50), 0.1, seed, "name")[1].label for seed in (0, 0, 1)]
    np.testing.assert_array_equal(chosen[0], chosen[1])
    assert chosen[0] is not None
    assert chosen[0].tolist() == GOLDEN
    assert not np.array_equal(chosen[0], chosen[2])


GOLDEN = [2, 3, 11, 13, 20]


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 1.5, float("nan")])
def test_a_fraction_outside_0_to_1_is_refused(fraction) -> None:
    with pytest.raises(DataError, match="validation_fraction: expected a number in"):
        hold_out(numbered(10), fraction, 0, "name")


def test_something_must_be_left_to_train_on() -> None:
    with pytest.raises(DataError, match="1 held out of 1"):
        hold_out(numbered(1), 0.1, 0, "name")
    with pytest.raises(DataError, match="10 held out of 10"):
        hold_out(numbered(10), 0.99, 0, "name")


def test_the_hash_sees_dtype_shape_order_and_labels() -> None:
    image, label = np.arange(12, dtype=np.uint8).reshape(3, 4), np.arange(3)
    splits = [
        Split(image, None),
        Split(image, label),
        Split(image, label.astype(np.int32)),
        Split(image, label[::-1]),
        Split(image[::-1], label),
        Split(image.reshape(3, 2, 2), label),
        Split(image.view(np.int8), label),
        Split(image + 1, label),
    ]
    assert len({sha256(split) for split in splits}) == len(splits)


def test_the_hash_does_not_see_how_memory_is_laid_out() -> None:
    image = np.arange(12, dtype=np.int32).reshape(3, 4)
    twice = image[:, ::-1][:, ::-1]
    same = [image, np.asfortranarray(image), image.astype(">i4"), twice]
    assert len({sha256(Split(x, None)) for x in same}) == 1
    assert len(sha256(Split(image[:0], None))) == 64


def test_the_error_survives_a_process_boundary() -> None:
    error = DataError("F.npz", "image", "an image", "a cat", "Paint it.")
    assert str(error) == "F.npz: image: expected an image, got a cat. Paint it."
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert isinstance(error, ValueError)
