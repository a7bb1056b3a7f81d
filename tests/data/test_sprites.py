import itertools
import math

import jax
import numpy as np
import pytest

from tests import toy
from vaejax.data import (
    DataError,
    factor_indices,
    factor_values,
    image_index,
    load,
    render,
    sample_factors,
    sha256,
    sprites,
)
from vaejax.data import sprites as make
from vaejax.data.sprites import (
    NUM_IMAGES,
    SHAPES,
    split_factors,
    sprites_splits,
)

SMALL = sprites(num_scales=2, num_orientations=3, num_x=4, num_y=1)
each_shape = pytest.mark.parametrize("shape", SHAPES)


def turned(shape: str, turns: np.ndarray) -> np.ndarray:
    """Images `[N, 64, 64]` of a shape in the centre, by parts of a full turn."""
    place = list(SHAPES).index(shape)
    rows = [[place, 1, 2 * math.pi * turn, 0.5, 0.5] for turn in turns]
    return np.asarray(render(np.array(rows)))


def plain(shape: str, scale, orientation, x, y, size: int) -> np.ndarray:
    """A second rendering, in float64, by corners of polygons and by polar forms."""
    image = np.zeros((size, size), bool)
    for row, column in itertools.product(range(size), repeat=2):
        right = ((column + 0.5) / size - 0.25 - 0.5 * x) / (0.25 * scale)
        up = -((row + 0.5) / size - 0.25 - 0.5 * y) / (0.25 * scale)
        r, angle = math.hypot(right, up), math.atan2(up, right) - orientation
        if shape in ("square", "triangle"):
            num, first = {"square": (4, math.pi / 4), "triangle": (3, math.pi / 2)}[
                shape
            ]
            within = (angle - first) % (2 * math.pi / num) - math.pi / num
            image[row, column] = r * math.cos(within) <= math.cos(math.pi / num)
        else:
            image[row, column] = r**2 * (1 + 3 * math.sin(angle) ** 2) <= 1
    return image


@each_shape
def test_turned_by_its_symmetry_a_shape_is_itself_and_by_less_it_is_not(shape):
    order = SHAPES[shape].order
    same = turned(shape, np.arange(order + 1) / order)
    assert (same != same[0]).sum(axis=(1, 2)).max() <= 12  # of 300 to 550, on edges
    turns = np.arange(1, 20 * order) / (20 * order)
    other = turned(shape, turns[np.arange(1, 20 * order) % 20 != 0])
    # By 1 / 20 of its period, 18 to 90 degrees over the order, and all in between.
    assert (other != same[0]).sum(axis=(1, 2)).min() >= 24


@pytest.mark.parametrize("shape", ["square", "ellipse", "triangle"])
def test_images_are_those_of_a_second_rendering(shape):
    place, size = list(SHAPES).index(shape), 24
    draws = np.random.default_rng(0).random((6, 4)) * [0.5, 6.28, 1, 1] + [0.5, 0, 0, 0]
    rows = np.concatenate([np.full((6, 1), place), draws], axis=1)
    expected = np.stack([plain(shape, *row, size=size) for row in draws])
    got = np.asarray(render(rows, size, images=4))
    assert (got != expected).sum() <= 2
    assert expected.sum() > 100


@each_shape
def test_no_shape_leaves_the_disc_that_it_turns_in(shape):
    union = turned(shape, np.arange(60) / 60).any(axis=0)
    centre = (np.arange(64) + 0.5) / 64 - 0.5
    radius = np.hypot(centre[:, None], centre)[union].max()
    assert 0.22 < radius <= 0.25 + 1e-6


def test_an_orientation_is_counter_clockwise_x_goes_right_and_y_down():
    heart = list(SHAPES).index("heart")
    upright, left = np.asarray(
        render(np.array([[heart, 1, 0, 0.5, 0.5], [heart, 1, math.pi / 2, 0.5, 0.5]]))
    )
    np.testing.assert_array_equal(np.rot90(upright), left)
    np.testing.assert_array_equal(upright, upright[:, ::-1])
    assert not upright[:24].any(axis=1).all()
    assert upright[:32].sum() > upright[32:].sum()  # its point is at the bottom
    corner = np.asarray(render(np.array([[heart, 0.5, 0, 1, 0]])))[0]
    assert corner[:32, 32:].sum() == corner.sum() > 50


def test_moving_by_whole_pixels_moves_the_image_and_scale_is_a_length():
    rows = np.array([[2, 1, 0.3, 0.5, 0.5], [2, 1, 0.3, 0.5 + 1 / 8, 0.5 - 1 / 4]])
    one, other = np.asarray(render(rows))  # 1 / 32 of the range is one pixel
    np.testing.assert_array_equal(np.roll(one, (-8, 4), (0, 1)), other)
    areas = np.asarray(render(np.array([[0, 1, 0.3, 0.5, 0.5], [0, 0.5, 0.3, 0, 0]])))
    large, small = areas.sum(axis=(1, 2)) / 64**2
    assert large == pytest.approx(2 * 0.25**2, rel=0.01)
    assert small == pytest.approx(2 * 0.125**2, rel=0.03)


def test_the_default_set_is_that_of_dsprites():
    factors = sprites()
    assert factors.names == ("shape", "scale", "orientation", "x", "y")
    assert factors.sizes == (3, 6, 40, 32, 32)
    assert factors.orders == (4, 2, 1)
    np.testing.assert_allclose(factors.values[1], [0.5, 0.6, 0.7, 0.8, 0.9, 1])
    np.testing.assert_allclose(factors.values[2][[0, 10]], [0, math.pi / 2])


def test_every_image_has_one_number_and_every_number_one_image():
    number = np.arange(3 * 2 * 3 * 4)
    indices = np.asarray(factor_indices(SMALL, number))
    assert indices.tolist() == [list(i) for i in np.ndindex(*SMALL.sizes)]
    np.testing.assert_array_equal(image_index(SMALL, indices), number)
    assert factor_indices(SMALL, number.reshape(8, 9)).shape == (8, 9, 5)


def test_a_factor_that_does_not_vary_has_its_one_value():
    factors = sprites(
        shapes=("heart",), num_scales=1, num_orientations=1, num_x=2, num_y=1
    )
    got = factor_values(factors, factor_indices(factors, np.arange(2)))
    np.testing.assert_array_equal(got, [[2, 1, 0, 0, 0.5], [2, 1, 0, 1, 0.5]])


def test_factors_are_drawn_uniformly_and_independently():
    draws = np.asarray(sample_factors(jax.random.key(0), SMALL, 20_000))
    for column, size in zip(draws.T, SMALL.sizes, strict=True):
        toy.same_mean(column[:, None] == np.arange(size), np.full(size, 1 / size))
    number = np.asarray(image_index(SMALL, draws))
    toy.same_mean(number[:, None] == np.arange(72), np.full(72, 1 / 72))


def test_a_factor_that_is_held_stays_and_the_others_do_not():
    draws = np.asarray(
        sample_factors(jax.random.key(1), SMALL, 500, held={"x": 3, "shape": 0})
    )
    assert (draws[:, [0, 3]] == [0, 3]).all()
    assert [len(set(column)) for column in draws.T] == [1, 2, 3, 1, 1]


def test_the_set_by_its_name_is_drawn_from_all_images_without_repetition(monkeypatch):
    for name in NUM_IMAGES:
        monkeypatch.setitem(NUM_IMAGES, name, 24)
    splits = sprites_splits(SMALL, 16)
    assert list(splits) == ["train", "validation", "test"]
    images = np.concatenate([split.image for split in splits.values()])
    whole = np.asarray(
        render(factor_values(SMALL, factor_indices(SMALL, np.arange(72))), 16)
    )
    assert sorted(x.tobytes() for x in images) == sorted(x.tobytes() for x in whole)
    labels = np.concatenate([split.label for split in splits.values()])
    assert np.bincount(labels).tolist() == [24, 24, 24]


def test_the_factors_of_the_splits_are_those_of_their_images(monkeypatch):
    for name in NUM_IMAGES:
        monkeypatch.setitem(NUM_IMAGES, name, 24)
    splits = sprites_splits(SMALL, 16)
    for name, indices in split_factors(SMALL).items():
        image = render(factor_values(SMALL, indices), 16)
        np.testing.assert_array_equal(splits[name].image, image)
        np.testing.assert_array_equal(splits[name].label, indices[:, 0])


def test_load_gives_it_as_any_other_named_set(monkeypatch):
    for name in NUM_IMAGES:
        monkeypatch.setitem(NUM_IMAGES, name, 30)
    dataset = load("sprites")
    assert dataset.train.image.shape == (30, 64, 64)
    assert dataset.train.image.dtype == bool
    assert dataset.train.label.dtype == np.int32
    assert dataset.scale == 1
    assert load("sprites:16").train.image.shape == (30, 16, 16)
    for spec in ("sprites", "sprites:16"):
        with pytest.raises(DataError, match="splits of this set are fixed"):
            load(spec, validation="sprites")
    for spec in ("sprites:", "sprites:7", "sprites:65", "sprites:1e1", "sprites: 16"):
        with pytest.raises(DataError, match="sprites:SIZE"):
            load(spec)
    with pytest.raises(DataError, match=r"Did you mean sprites\?"):
        load("sprite")


def test_the_splits_never_change():
    """The same on CPUs of three instruction sets, with and without optimisation."""
    hashes = [sha256(split)[:16] for split in sprites_splits(sprites()).values()]
    assert hashes == ["072e712cce9d2717", "76cb0e9a2a1d7a34", "242abb7c70baf213"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_x": 0}, "num_x must be at least 1, got 0"),
        ({"shapes": ("star",)}, "shapes must be some of square, ellipse, heart"),
        ({"shapes": ("heart", "heart")}, "each once"),
        ({"shapes": ()}, "shapes must be some of"),
    ],
    ids=str,
)
def test_what_cannot_be_drawn_is_an_error(wrong, message):
    with pytest.raises(ValueError, match=message):
        make(**wrong)


@pytest.mark.parametrize("held", [{"x": 4}, {"x": -1}, {"colour": 0}], ids=str)
def test_a_held_value_that_does_not_exist_is_an_error(held):
    with pytest.raises(ValueError, match="held must give an index below the size"):
        sample_factors(jax.random.key(0), SMALL, 2, held=held)
