"""The likelihood's support against the data."""

import numpy as np
import pytest

from vaejax.data import DataError, Dataset, Split, check_support

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
@pytest.mark.parametrize("support", ["binary", "unit_interval", "counts", "real"])
def test_binarised_values_are_in_every_support(binarize, support) -> None:
    for image, scale in [(BITS, 1), (GREY, 255), (UNIT, 1)]:
        assert check_support(Split(image, None), support, binarize, scale=scale)


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
