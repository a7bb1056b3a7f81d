"""Folders of idx files, plain and compressed."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from vaejax.data import DataError, load, load_split
from vaejax.data.idx import read_idx

RANDOM = np.random.default_rng(0)
CODES = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4"}


def write(path: Path, array: np.ndarray, code: int = 0x08) -> None:
    content = bytes([0, 0, code, array.ndim])
    content += struct.pack(f">{array.ndim}I", *array.shape)
    content += array.astype(array.dtype.newbyteorder(">")).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def images(num_images: int, *event_shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (num_images, *event_shape), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("code", CODES)
def test_each_type_comes_back_plain_and_compressed(code, suffix, tmp_path) -> None:
    array = RANDOM.integers(0, 100, (7, 3, 2)).astype(CODES[code])
    write(tmp_path / f"train-images-idx3{suffix}", array, code)
    train = load(f"idx:{tmp_path}", validation_fraction=0).train
    np.testing.assert_array_equal(train.image, array)
    kept = {"u": np.uint8, "i": np.int32, "f": np.float32}[array.dtype.kind]
    assert train.image.dtype == kept


def test_a_gzip_file_is_known_by_its_content(tmp_path: Path) -> None:
    array = images(3, 2, 2)
    write(tmp_path / "a.gz", array)
    (tmp_path / "a.gz").rename(tmp_path / "train-images-idx3-ubyte")
    np.testing.assert_array_equal(load_split(f"idx:{tmp_path}").image, array)


def test_an_array_of_several_chunks_comes_back(tmp_path: Path) -> None:
    array = images(3, 1000, 1001)
    write(tmp_path / "a.gz", array)
    np.testing.assert_array_equal(read_idx(tmp_path / "a.gz"), array)


def test_t10k_files_are_the_test_split(tmp_path: Path) -> None:
    train, test = images(20, 4, 5), images(6, 4, 5)
    write(tmp_path / "train-images.idx3-ubyte", train)
    write(tmp_path / "train-labels.idx1-ubyte", np.arange(20, dtype=np.uint8))
    write(tmp_path / "t10k-images-idx3-ubyte.gz", test)
    write(tmp_path / "t10k-labels-idx1-ubyte.gz", np.arange(6, dtype=np.uint8))
    dataset = load(f"idx:{tmp_path}")
    assert dataset.test is not None
    np.testing.assert_array_equal(dataset.test.image, test)
    assert len(dataset.train.image) == 18
    assert len(dataset.validation.image) == 2
    np.testing.assert_array_equal(dataset.train.image, train[dataset.train.label])
    np.testing.assert_array_equal(load_split(f"idx:{tmp_path}").image, test)


def test_a_plain_file_is_preferred_to_its_compressed_twin(tmp_path: Path) -> None:
    plain = images(3, 2, 2)
    write(tmp_path / "train-images-idx3-ubyte", plain)
    write(tmp_path / "train-images-idx3-ubyte.gz", images(4, 2, 2))
    np.testing.assert_array_equal(load_split(f"idx:{tmp_path}").image, plain)


def test_two_candidates_are_one_too_many(tmp_path: Path) -> None:
    write(tmp_path / "train-images-idx3-ubyte", images(3, 2, 2))
    write(tmp_path / "train-images-old", images(3, 2, 2))
    with pytest.raises(DataError, match="Keep one of them"):
        load(f"idx:{tmp_path}")


def test_labels_without_images_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "train-images-idx3-ubyte", images(3, 2, 2))
    write(tmp_path / "t10k-labels-idx1-ubyte", np.zeros(3, np.uint8))
    with pytest.raises(DataError, match="t10k-images: expected images for the labels"):
        load(f"idx:{tmp_path}")


def test_test_images_of_another_shape_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "train-images-idx3-ubyte", images(3, 2, 2))
    write(tmp_path / "t10k-images-idx3-ubyte", images(3, 2, 3))
    with pytest.raises(DataError, match=r"t10k-images: expected uint8 images of sh"):
        load(f"idx:{tmp_path}")
