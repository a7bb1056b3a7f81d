"""Sets of tensorflow-datasets that need no TensorFlow."""

from pathlib import Path

import jax
import numpy as np
import pytest
import tensorflow_datasets as tfds

from vaejax.data import DataError, batches, from_tfds, load, load_split

IMAGE = np.random.default_rng(0).integers(0, 256, (30, 5, 4, 1), dtype=np.uint8)


class ToyPictures(tfds.core.GeneratorBasedBuilder):
    """Thirty pictures."""

    VERSION = tfds.core.Version("1.0.0")
    SPLITS = ("train", "test")

    @classmethod
    def _get_pkg_dir_path(cls):  # tfds looks for a README.md beside the builder
        return tfds.core.Path(__file__).parent

    def _info(self):
        features = {
            "image": tfds.features.Tensor(shape=(5, 4, 1), dtype=np.uint8),
            "label": tfds.features.ClassLabel(num_classes=3),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples() for name in self.SPLITS}

    def _generate_examples(self):
        for i, image in enumerate(IMAGE):
            yield i, {"image": image, "label": i % 3}


class ToyWithoutTrain(ToyPictures):
    """Thirty pictures to test on."""

    SPLITS = ("test",)


class ToySizes(ToyPictures):
    """Pictures of many sizes."""

    def _info(self):
        feature = tfds.features.Tensor(shape=(None, 4, 1), dtype=np.uint8)
        features = {"image": feature, "label": tfds.features.Scalar(np.int64)}
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )


class ToyEncoded(ToyPictures):
    """Pictures that TensorFlow encodes."""

    def _info(self):
        features = {"image": tfds.features.Image(), "label": tfds.features.Text()}
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features)
        )


class ToyBroken(ToyPictures):
    """A builder that fails."""

    def _split_generators(self, dl_manager):
        raise RuntimeError("the server\nis gone")


def test_a_set_is_prepared_once_and_read_in_order(tmp_path: Path, capfd) -> None:
    for _ in range(2):
        dataset = load(
            "tfds:toy_pictures", data_dir=str(tmp_path), validation_fraction=0.2
        )
    assert capfd.readouterr().out == ""
    assert dataset.test is not None
    np.testing.assert_array_equal(dataset.test.image, IMAGE)
    np.testing.assert_array_equal(dataset.test.label, np.arange(30) % 3)
    assert len(dataset.train.image) == 24
    assert len(dataset.validation.image) == 6
    assert dataset.scale == 255
    split = load_split("tfds:toy_pictures", data_dir=str(tmp_path))
    np.testing.assert_array_equal(split.image, IMAGE)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("toy_without_train", "train: expected a split `train`"),
        ("toy_sizes", "image: expected a fixed shape"),
        ("toy_encoded", "builder: expected prepared as array_record"),
        ("toy_broken", "builder: .* got RuntimeError: the server is gone"),
        ("no_such_set", "name: expected a set that tfds knows"),
        ("../toy", "name: expected a set that tfds knows"),
    ],
)
def test_a_set_is_refused_with_a_reason(name, message, tmp_path: Path, capfd) -> None:
    with pytest.raises(DataError, match=f"tfds:{name}: {message}"):
        load(f"tfds:{name}", data_dir=str(tmp_path))
    assert capfd.readouterr().out == ""


def test_mnist_of_tfds_needs_tensorflow_and_says_so_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="encodes pictures with TensorFlow"):
        load("tfds:mnist", data_dir=str(tmp_path))


def test_a_source_reads_the_same_pictures_a_batch_at_a_time(tmp_path):
    pytest.importorskip("grain")
    source = from_tfds("toy_pictures", data_dir=str(tmp_path))
    np.testing.assert_array_equal(source.take(np.array([7, 0, 29])), IMAGE[[7, 0, 29]])
    iterator = batches(source, jax.random.key(0), 5)
    read = np.concatenate([next(iterator) for _ in range(6)])
    assert {x.tobytes() for x in read} == {x.tobytes() for x in IMAGE}


def test_a_split_that_is_not_there_is_named_by_a_source(tmp_path):
    with pytest.raises(DataError, match=r"split: expected one of \['test', 'train'\]"):
        from_tfds("toy_pictures", "validation", data_dir=str(tmp_path))
