"""The likelihood's support against the data."""

import numpy as np
import pytest

from vaejax.data import DataError, Dataset, Split, check_support
from vaejax.data.support import SUPPORTS

BITS = np.array([[True, False]])
GREY = np.array([[0, 128, 255]], np.uint8)
BLACK_AND_WHITE = np.array([[0, 255]], np.uint8)
UNIT = np.array([[0.0, 0.25, 1.0]], np.float32)
ZERO_ONE = np.array([[0.0, 1.0]], np.float32)
REAL = np.array([[-1.5, 2.0]], np.float32)
BELOW = np.array([[-2.0, 1.0]], np.float32)
ABOVE = np.array([[0.0, 1.25]], np.float32)
COUNTS = np.array([[0, 7]], np.int32)
SMALL = np.array([[0, 1]], np.int32)

# (image, scale): what each support says without binarisation; None is a DataError
NONE = [
    ("bits", BITS, 1, {"binary": True, "unit_interval": True, "counts": True}),
    ("grey", GREY, 255, {"binary": False, "unit_interval": True, "counts": True}),
    ("black and white", BLACK_AND_WHITE, 255, {"binary": True, "unit_interval": True}),
    ("unit", UNIT, 1, {"binary": False, "unit_interval": True, "counts": None}),
    ("zero one", ZERO_ONE, 1, {"binary": True, "counts": True}),
    ("real", REAL, 1, {"binary": None, "unit_interval": None, "counts": None}),
    ("above", ABOVE, 1, {"binary": None, "unit_interval": None, "counts": None}),
    ("below", BELOW, 1, {"binary": None, "unit_interval": None, "counts": None}),
    ("counts", COUNTS, 1, {"binary": None, "unit_interval": None, "counts": True}),
    ("small counts", SMALL, 1, {"binary": True, "counts": True}),
]
ROWS = [
    (f"{name}, {support}", image, scale, support, answer)
    for name, image, scale, answers in NONE
    for support, answer in {**answers, "real": True}.items()
]


@pytest.mark.parametrize(("name", "image", "scale", "support", "answer"), ROWS)
def test_values_as_they_are(name, image, scale, support, answer) -> None:
    split = Split(image, None)
    if answer is None:
        with pytest.raises(DataError, match="image: expected"):
            check_support(split, support, "none", scale=scale)
    else:
        assert check_support(split, support, "none", scale=scale) is answer


@pytest.mark.parametrize("binarize", ["dynamic", "threshold"])
@pytest.mark.parametrize("support", SUPPORTS)
def test_binarised_values_are_in_every_support(binarize, support) -> None:
    for image, scale in [(BITS, 1), (GREY, 255), (UNIT, 1)]:
        split = Split(image, None)
        assert check_support(split, support, binarize, scale=scale, num_values=16)


DIGITS = np.array([[0, 7, 16]], np.uint8)


# (image, scale, levels of the likelihood, what the error says to set)
@pytest.mark.parametrize(
    ("image", "scale", "num_levels", "remedy"),
    [
        (GREY, 255, 256, None),
        (GREY, 255, 255, "num_levels to 256"),
        (GREY, 255, 511, "num_levels to 256"),
        (DIGITS, 16, 17, None),
        (
            DIGITS,
            16,
            256,
            r"num_levels to 17 \(num_categories to 17, or total_count to 16",
        ),
        (DIGITS, 16, 33, "num_levels to 17"),  # of which it has every second
        (BLACK_AND_WHITE, 255, 2, None),
        (BITS, 1, 256, None),
        (ZERO_ONE, 1, 256, None),
        (UNIT, 1, 5, None),
        (UNIT, 1, 256, "Save the images as integers"),
        (np.float32([[0, 1, 2, 254]]) / np.float32(255), 1, 256, None),
        (ABOVE, 1, 5, "Rescale"),
    ],
)
def test_levels_are_those_of_the_data(image, scale, num_levels, remedy) -> None:
    def check() -> bool:
        split = Split(image, None)
        return check_support(
            split, "levels", "none", scale=scale, num_values=num_levels
        )

    if remedy is None:
        assert check()
    else:
        with pytest.raises(DataError, match=remedy):
            check()


def test_counts_end_where_the_likelihood_ends() -> None:
    counts = Split(COUNTS, None)
    for num_values in (None, 8):
        kwargs = {"scale": 1, "num_values": num_values}
        assert check_support(counts, "counts", "none", **kwargs)
    message = "0 to 6, got values up to 7. Set num_categories to 8"
    with pytest.raises(DataError, match=message):
        check_support(counts, "counts", "none", scale=1, num_values=7)


@pytest.mark.parametrize("binarize", ["dynamic", "threshold"])
@pytest.mark.parametrize("image", [REAL, ABOVE, COUNTS])
def test_only_intensities_can_be_binarised(binarize, image) -> None:
    with pytest.raises(DataError, match="for binarisation"):
        check_support(Split(image, None), "binary", binarize, scale=1)


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_every_split_of_a_dataset_is_checked(part) -> None:
    bits, empty = Split(ZERO_ONE, None), Split(ZERO_ONE[:0], None)
    assert check_support(Dataset("D", bits, empty, None, 1.0), "binary", "none")
    dataset = Dataset("D", bits, bits, bits, 1.0)
    assert check_support(dataset, "binary", "none")
    grey = dataset._replace(**{part: Split(UNIT, None)})
    assert not check_support(grey, "binary", "none")
    with pytest.raises(DataError, match=f"D: {part}: expected values in"):
        check_support(dataset._replace(**{part: Split(ABOVE, None)}), "binary", "none")


def test_wrong_arguments_are_named() -> None:
    split = Split(BITS, None)
    with pytest.raises(ValueError, match=r"support must be one of .* got 'bernoulli'"):
        check_support(split, "bernoulli", "none", scale=1)
    with pytest.raises(ValueError, match=r"binarize must be one of .* got 'static'"):
        check_support(split, "binary", "static", scale=1)
    with pytest.raises(ValueError, match="scale"):
        check_support(split, "binary", "none")
