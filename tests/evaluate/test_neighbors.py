import numpy as np
import pytest
from scipy.spatial.distance import cdist

from vaejax.evaluate import nearest_neighbors

RNG = np.random.default_rng(4)


def test_they_are_those_of_the_whole_matrix_of_distances():
    x, train = RNG.normal(size=(7, 3, 2)), 1 + RNG.normal(size=(40, 3, 2))
    d = cdist(x.reshape(7, 6), train.reshape(40, 6))
    got = nearest_neighbors(x, train, num_neighbors=4, images=3)
    np.testing.assert_array_equal(got.indices, np.argsort(d, axis=1)[:, :4])
    np.testing.assert_allclose(got.distances, np.sort(d, axis=1)[:, :4], rtol=1e-5)


def test_a_copy_is_found_at_distance_zero_exactly_however_far_from_the_origin():
    train = (1000 + RNG.normal(size=(50, 20))).astype(np.float32)
    got = nearest_neighbors(train[10:20], train)
    np.testing.assert_array_equal(got.indices[:, 0], np.arange(10, 20))
    assert (np.asarray(got.distances) == 0).all()


def test_images_of_bytes_do_not_wrap_around():
    x, train = np.zeros((1, 2, 2), np.uint8), np.full((1, 2, 2), 255, np.uint8)
    assert nearest_neighbors(x, train).distances == 510


def test_what_cannot_be_compared_is_an_error_that_says_why():
    x = np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"shape \(2,\) .* \(1,\): give both alike"):
        nearest_neighbors(x, x[:, :1])
    for counts in ({"num_neighbors": 4}, {"num_neighbors": 0}, {"images": 0}):
        with pytest.raises(ValueError, match="from 1 to the 3 training examples"):
            nearest_neighbors(x, x, **counts)
