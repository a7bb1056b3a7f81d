"""What an npz file holds is what comes out."""

from pathlib import Path

import numpy as np
import pytest

from vaejax.data import load, load_split

VALUES = np.arange(6 * 4 * 3).reshape(6, 4, 3) % 256
KEPT = {
    "bool": (bool, bool, 1.0),
    "uint8": (np.uint8, np.uint8, 255.0),
    "float32": (np.float32, np.float32, 1.0),
    "big-endian float32": (">f4", np.float32, 1.0),
    "int8": (np.int8, np.int32, 1.0),
    "int16": (np.int16, np.int32, 1.0),
    "big-endian uint16": (">u2", np.int32, 1.0),
    "int32": (np.int32, np.int32, 1.0),
    "uint32": (np.uint32, np.int32, 1.0),
    "int64": (np.int64, np.int32, 1.0),
}


@pytest.mark.parametrize("dtype", KEPT)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_images_of_each_dtype_come_back(dtype, save, tmp_path: Path) -> None:
    stored, kept, scale = KEPT[dtype]
    image = VALUES.astype(stored)
    save(tmp_path / "F.npz", image=image)
    dataset = load(f"npz:{tmp_path}/F.npz", validation_fraction=0)
    assert dataset.train.image.dtype == kept
    assert dataset.train.image.dtype.isnative
    assert dataset.train.image.flags.c_contiguous
    np.testing.assert_array_equal(dataset.train.image, image)
    assert dataset.scale == scale
    assert dataset.train.label is None
    assert dataset.test is None
    assert dataset.validation.image.shape == (0, 4, 3)
    assert dataset.name == f"npz:{tmp_path}/F.npz"


@pytest.mark.parametrize("shape", [(6, 1), (6, 2, 3, 4), (1, 5), (6, 1, 1, 1, 1, 1, 2)])
def test_events_have_any_shape(shape, tmp_path: Path) -> None:
    x = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    np.savez(tmp_path / "F.npz", x=x)
    np.testing.assert_array_equal(load_split(f"npz:{tmp_path}/F.npz").image, x)


def test_fortran_order_is_only_a_way_of_storing(tmp_path: Path) -> None:
    image = np.asfortranarray(VALUES.astype(np.float32))
    np.savez(tmp_path / "F.npz", image=image)
    read = load_split(f"npz:{tmp_path}/F.npz").image
    np.testing.assert_array_equal(read, image)
    assert read.flags.c_contiguous


def test_labels_come_along_and_other_members_do_not_matter(tmp_path: Path) -> None:
    label = np.array([3, -1, 0, 2, 2, 1], np.int64)
    other = np.array([{"no": "pickle"}], object)
    np.savez(
        tmp_path / "F.npz",
        image=VALUES.astype(np.uint8),
        label=label,
        z=other,
    )
    split = load_split(f"npz:{tmp_path}/F.npz")
    assert split.label is not None
    assert split.label.dtype == np.int32
    np.testing.assert_array_equal(split.label, label)


def test_uint8_that_can_only_be_bits_is_remarked_upon(tmp_path: Path) -> None:
    np.savez(tmp_path / "F.npz", image=(VALUES % 2).astype(np.uint8))
    with pytest.warns(UserWarning, match="Save bits as bool"):
        load_split(f"npz:{tmp_path}/F.npz")
