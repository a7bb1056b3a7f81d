"""Specs: what can be asked for, and together with what."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vaejax.data import DataError, load, load_split


def save(path: Path, num_images: int, dtype: type = np.uint8, width: int = 3) -> str:
    image = np.arange(num_images * width).reshape(num_images, width) % 200
    np.savez(path, image=image.astype(dtype), label=np.arange(num_images))
    return f"npz:{path}"


def test_a_tenth_is_held_out_and_the_file_can_be_read_whole(tmp_path: Path) -> None:
    spec = save(tmp_path / "F.npz", 40)
    dataset = load(spec)
    assert len(dataset.train.image) == 36
    assert len(dataset.validation.image) == 4
    other = load(spec, seed=1)
    assert not np.array_equal(dataset.validation.label, other.validation.label)
    assert load_split(spec).label.tolist() == list(range(40))


def test_validation_images_may_come_from_another_spec(tmp_path: Path) -> None:
    spec, other = save(tmp_path / "F.npz", 9), save(tmp_path / "G.npz", 5)
    dataset = load(spec, validation=other)
    assert len(dataset.train.image) == 9
    assert len(dataset.validation.image) == 5


def test_validation_images_must_be_of_the_same_kind(tmp_path: Path) -> None:
    spec = save(tmp_path / "F.npz", 9)
    for other in (
        save(tmp_path / "G.npz", 5, width=4),
        save(tmp_path / "H.npz", 5, np.float32),
    ):
        with pytest.raises(DataError, match=r"expected uint8 images of shape \(3,\)"):
            load(spec, validation=other)
    digits = tmp_path / "digits.npz"
    np.savez(digits, image=np.full((5, 8, 8), 9, np.uint8))
    with pytest.raises(DataError, match="expected scale 255, got scale 16"):
        load(f"npz:{digits}", validation="digits", cache_dir=str(tmp_path))


def test_named_sets_keep_their_splits() -> None:
    with pytest.raises(DataError, match="the splits of this set are fixed"):
        load("digits", validation="npz:F.npz")


@pytest.mark.parametrize("spec", ["", "digit", "npz:", "idx", "NPZ:F.npz", "digits:8"])
def test_an_unknown_spec_is_answered_with_the_known_ones(spec) -> None:
    with pytest.raises(DataError, match="expected one of digits, mnist") as caught:
        load(spec)
    if spec == "digit":
        assert str(caught.value).endswith("Did you mean digits?")


def test_importing_the_folder_imports_nothing_heavy() -> None:
    code = (
        "import sys, vaejax.data; "
        "print([m for m in sys.modules if m.split('.')[0] in "
        "('tensorflow_datasets', 'sklearn', 'array_record', 'tensorflow', 'scipy.io')])"
    )
    run = [sys.executable, "-c", code]
    out = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
