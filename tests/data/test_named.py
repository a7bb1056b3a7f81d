"""Digits and the MNIST family: prepared once, cached, read back."""

import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vaejax.data import DataError, load, load_split, sha256

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


def write_mnist(folder: Path, num_train: int, num_test: int, seed: int = 0) -> str:
    random = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    for part, count in {"train": num_train, "t10k": num_test}.items():
        for kind, event in {"images-idx3": (28, 28), "labels-idx1": ()}.items():
            top = 256 if event else 10
            array = random.integers(0, top, (count, *event), dtype=np.uint8)
            content = bytes([0, 0, 8, array.ndim])
            content += struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
            path = folder / f"{part}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(content, 1, mtime=0))
    return str(folder)


def test_digits_have_the_documented_splits(cache, capfd) -> None:
    from sklearn.datasets import load_digits

    dataset = load("digits", cache_dir=cache)
    again = load("digits", cache_dir=cache)
    assert capfd.readouterr().out == ""
    parts = [dataset.train, dataset.validation, dataset.test]
    assert [len(part.image) for part in parts] == [1197, 200, 400]
    assert [sha256(part) for part in parts] == [sha256(part) for part in again[1:4]]
    assert dataset.scale == 16
    assert max(part.image.max() for part in parts) == 16
    assert all(part.image.dtype == np.uint8 for part in parts)
    assert sha256(load_split("digits", cache_dir=cache)) == sha256(dataset.test)
    # Disjoint and complete: every image of the original, as often as there. All 1,797
    # are different.
    digits = load_digits()
    original = {
        (x.astype(np.uint8).tobytes(), int(y))
        for x, y in zip(digits.images, digits.target, strict=True)
    }
    found = [
        (x.tobytes(), int(y))
        for part in parts
        for x, y in zip(part.image, part.label, strict=True)
    ]
    assert len(original) == len(found) == 1797
    assert set(found) == original
    # Stratified: each class in proportion, to within two images.
    whole = np.bincount(digits.target)
    for part in parts:
        share = whole * len(part.image) / 1797
        assert np.abs(np.bincount(part.label) - share).max() < 2


def test_the_splits_of_digits_never_change(cache) -> None:
    # Measured with scikit-learn 1.9.1, whose digits have been the same since 2010.
    assert sha256(load("digits", cache_dir=cache).train)[:16] == "847860b8b8fd8e7e"


def test_the_last_sixth_of_the_training_file_is_validation(tmp_path, cache) -> None:
    folder = write_mnist(tmp_path / "m", 250, 30)
    direct = load(f"idx:{folder}", validation_fraction=0)
    for name in ("mnist", "fashion_mnist"):
        dataset = load(name, data_dir=folder, cache_dir=cache)
        assert dataset.scale == 255
        np.testing.assert_array_equal(dataset.train.image, direct.train.image[:209])
        np.testing.assert_array_equal(dataset.train.label, direct.train.label[:209])
        held = dataset.validation
        np.testing.assert_array_equal(held.image, direct.train.image[209:])
        np.testing.assert_array_equal(held.label, direct.train.label[209:])
        assert sha256(dataset.test) == sha256(direct.test)


def test_other_source_files_are_prepared_anew(tmp_path) -> None:
    cache = str(tmp_path / "cache")
    folder = write_mnist(tmp_path / "m", 12, 6, seed=0)
    first = load("mnist", data_dir=folder, cache_dir=cache)
    write_mnist(tmp_path / "m", 12, 6, seed=1)
    second = load("mnist", data_dir=folder, cache_dir=cache)
    assert sha256(first.train) != sha256(second.train)
    write_mnist(tmp_path / "m", 12, 6, seed=0)
    third = load("mnist", data_dir=folder, cache_dir=cache)
    assert sha256(third.train) == sha256(first.train)
    assert len(os.listdir(cache)) == 2


def test_two_processes_may_prepare_at_once(tmp_path) -> None:
    cache = tmp_path / "cache"
    folder = write_mnist(tmp_path / "m", 600, 60)
    # Both wait for the same moment, then prepare the same set.
    code = (
        "import sys, time, vaejax.data as d, vaejax.data.builders;"
        "print('ready', flush=True); sys.stdin.readline();"
        "x = d.load('mnist', data_dir=sys.argv[1], cache_dir=sys.argv[2]);"
        "print(d.sha256(x.train))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, folder, str(cache)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    hashes = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    expected = sha256(load("mnist", data_dir=folder, cache_dir=str(cache)).train)
    assert hashes == [expected, expected]
    assert len(os.listdir(cache)) == 1


def test_a_draft_that_loses_the_race_is_discarded(tmp_path, monkeypatch) -> None:
    folder, cache = write_mnist(tmp_path / "m", 12, 6), tmp_path / "cache"
    first = load("mnist", data_dir=folder, cache_dir=str(cache))
    (target,) = cache.iterdir()
    exists = Path.exists
    # As if the winner had arrived between the look and the renaming.
    monkeypatch.setattr(Path, "exists", lambda p: p != target and exists(p))
    second = load("mnist", data_dir=folder, cache_dir=str(cache))
    assert sha256(first.train) == sha256(second.train)
    assert os.listdir(cache) == [target.name]


def test_a_damaged_cache_says_which_folder_to_delete(tmp_path) -> None:
    folder, cache = write_mnist(tmp_path / "m", 12, 6), tmp_path / "cache"
    load("mnist", data_dir=folder, cache_dir=str(cache))
    (target,) = cache.iterdir()
    for path in target.rglob("*array_record*"):
        path.unlink()
    with pytest.raises(DataError, match=f"Delete {target}"):
        load("mnist", data_dir=folder, cache_dir=str(cache))


def test_a_cache_that_cannot_be_written_says_so(tmp_path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"Set \$VAEJAX_CACHE"):
        load("digits", cache_dir=str(tmp_path / "file" / "cache"))


def test_the_cache_follows_the_environment(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("VAEJAX_CACHE", str(tmp_path / "here"))
    load("mnist", data_dir=write_mnist(tmp_path / "m", 12, 6))
    assert len(os.listdir(tmp_path / "here")) == 1


def test_missing_sources_say_what_to_do(tmp_path, cache) -> None:
    with pytest.raises(DataError, match=r"mnist: data_dir: .*Give data_dir"):
        load("mnist", cache_dir=cache)
    with pytest.raises(DataError, match=r"data_dir: .*got no folder"):
        load("mnist", data_dir=str(tmp_path / "nowhere"), cache_dir=cache)
    folder = Path(write_mnist(tmp_path / "m", 12, 6))
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="t10k-labels: expected a file t10k-labels"):
        load("mnist", data_dir=str(folder), cache_dir=cache)


def test_files_of_another_kind_are_not_prepared(tmp_path) -> None:
    cache = tmp_path / "cache"
    folder = Path(write_mnist(tmp_path / "m", 12, 6))

    def replace(name: str, array: np.ndarray) -> None:
        content = bytes([0, 0, 8, array.ndim])
        content += struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
        (folder / name).write_bytes(gzip.compress(content))

    cases = {
        "expected 12 integers": ("train-labels-idx1", np.zeros(11, np.uint8)),
        "expected labels 0 to 9": ("train-labels-idx1", np.full(12, 10, np.uint8)),
        "expected uint8 images of shape": (
            "t10k-images-idx3",
            np.zeros((6, 20, 20), np.uint8),
        ),
    }
    for message, (name, array) in cases.items():
        write_mnist(folder, 12, 6)
        replace(f"{name}-ubyte.gz", array)
        with pytest.raises(DataError, match=message):
            load("mnist", data_dir=str(folder), cache_dir=str(cache))
        assert os.listdir(cache) == []
    write_mnist(folder, 12, 6)
    replace("train-images-idx3-ubyte.gz", np.zeros((12, 20, 20), np.uint8))
    replace("t10k-images-idx3-ubyte.gz", np.zeros((6, 20, 20), np.uint8))
    with pytest.raises(DataError, match="expected uint8 images of 28 x 28"):
        load("mnist", data_dir=str(folder), cache_dir=str(cache))
    write_mnist(folder, 5, 6)
    with pytest.raises(DataError, match="expected at least 6 images"):
        load("mnist", data_dir=str(folder), cache_dir=str(cache))


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="dataset-fashion-mnist is absent")
def test_debians_fashion_mnist_works_as_it_is(cache) -> None:
    dataset = load("fashion_mnist", cache_dir=cache)
    parts = [dataset.train, dataset.validation, dataset.test]
    assert [part.image.shape for part in parts] == [
        (50_000, 28, 28),
        (10_000, 28, 28),
        (10_000, 28, 28),
    ]
    for part in parts:
        assert part.label is not None
        assert np.bincount(part.label).min() > len(part.label) * 0.09
    assert np.bincount(dataset.test.label).tolist() == [1000] * 10
