"""`load`: one string names a data set, wherever it comes from.

===================== ==============================================================
spec                  what it is
===================== ==============================================================
digits                scikit-learn's: 1,197 + 200 + 400 images of 8 x 8, scale 16
mnist, fashion_mnist  idx files in data_dir: 50,000 + 10,000 + 10,000 of 28 x 28
sprites               drawn: 20,000 + 2,000 + 2,000 binary shapes, 64 x 64, scale 1
sprites:SIZE          the same, SIZE x SIZE, from 8 to 64
idx:FOLDER            idx files of any event shape; t10k files are the test split
npz:FILE              `image` or `x` [N, *event], and perhaps `label` [N]
tfds:NAME             any set of tensorflow-datasets that needs no TensorFlow
===================== ==============================================================
"""

import difflib
import warnings
from typing import NamedTuple

import numpy as np

from vaejax.data.dataset import (
    DataError,
    Dataset,
    Split,
    default_scale,
    hold_out,
)
from vaejax.data.idx import check_alike, read_folder
from vaejax.data.named import NAMED, load_named
from vaejax.data.npz import read_npz
from vaejax.data.sprites import sprites, sprites_splits
from vaejax.data.tfds import load_tfds
from vaejax.data.untrusted import home

SPRITES = tuple(str(size) for size in range(8, 65))  # heights that are drawn


class Source(NamedTuple):
    """What a spec names, before anything is held out."""

    train: Split
    validation: Split | None
    test: Split | None
    scale: float


def load(
    spec: str,
    *,
    data_dir: str | None = None,
    cache_dir: str | None = None,
    validation_fraction: float = 0.1,
    validation: str | None = None,
    seed: int = 0,
) -> Dataset:
    """Load a data set.

    Sets with a validation split of their own (the named ones, some of tfds) keep it;
    from the others a part of the training images is held out. No test split is made.

    Args:
      spec: see the table above.
      data_dir: folder of the idx files of `mnist` and `fashion_mnist` (default: where
        Debian's `dataset-fashion-mnist` installs them), or of `tfds:` sets.
      cache_dir: where named sets are kept once prepared; default `$VAEJAX_CACHE`, else
        `~/.cache/vaejax`.
      validation_fraction: share of the training images to hold out where the set has
        no validation split, in [0, 1). 0 gives an empty one.
      validation: the spec of the validation images instead; not for named sets.
      seed: of the choice of the images held out.

    Returns:
      The dataset: images as stored, `scale` what 1.0 means.

    Raises:
      DataError: if anything is not as it should be; it says what and where.
    """
    source = read(spec, data_dir, cache_dir)
    train, held = source.train, source.validation
    if validation is not None:
        if spec in NAMED or spec.partition(":")[0] == "sprites":
            remedy = "Leave `validation` out: the splits of this set are fixed."
            raise DataError(spec, "validation", "none", validation, remedy)
        other = read(validation, data_dir, cache_dir)
        held = whole(other)
        check_alike(held, train, validation, "image")
        if other.scale != source.scale:
            remedy = "Give images of the same scale as those trained on."
            expected, got = f"scale {source.scale:g}", f"scale {other.scale:g}"
            raise DataError(validation, "image", expected, got, remedy)
    elif held is None:
        train, held = hold_out(train, validation_fraction, seed, spec)
    return Dataset(spec, train, held, source.test, source.scale)


def load_split(
    spec: str, *, data_dir: str | None = None, cache_dir: str | None = None
) -> Split:
    """Load the images to evaluate on: the test split, or all where there is none.

    For `npz:FILE` these are all images of the file, in its order. The values are as
    stored. What 1.0 means in them is for the caller to say: `default_scale` goes by
    their type, and the `scale` of a `Dataset` of the same type may know better.

    Args:
      spec: as in `load`.
      data_dir: as in `load`.
      cache_dir: as in `load`.

    Raises:
      DataError: as in `load`.
    """
    return whole(read(spec, data_dir, cache_dir))


def whole(source: Source) -> Split:
    """Return the test split, or all images where there is none."""
    return source.train if source.test is None else source.test


def read(spec: str, data_dir: str | None, cache_dir: str | None) -> Source:
    """Read everything that a spec names."""
    kind, colon, rest = spec.partition(":")
    if not colon and spec in NAMED:
        named_splits = load_named(spec, data_dir, cache_dir)
        return Source(*named_splits, scale=NAMED[spec].scale)
    if spec == "sprites" or (kind == "sprites" and rest in SPRITES):
        return Source(**sprites_splits(sprites(), int(rest or 64)), scale=1.0)
    if kind not in ("idx", "npz", "tfds") or not rest:
        specs = [
            *NAMED,
            "sprites",
            "sprites:SIZE",
            "idx:FOLDER",
            "npz:FILE",
            "tfds:NAME",
        ]
        close = difflib.get_close_matches(spec, specs, 1)
        remedy = f"Did you mean {close[0]}?" if close else "Give one of these."
        raise DataError(spec, "dataset", "one of " + ", ".join(specs), spec, remedy)
    path = home(rest)
    if kind == "idx":
        train, test = read_folder(path)
        validation = None
    elif kind == "npz":
        train, validation, test = read_npz(path), None, None
    else:
        splits = load_tfds(rest, data_dir)
        if "train" not in splits:
            got, remedy = f"splits {sorted(splits)}", "Choose a set with one."
            raise DataError(spec, "train", "a split `train`", got, remedy)
        train = splits["train"]
        validation, test = splits.get("validation"), splits.get("test")
    if train.image.dtype == np.uint8 and train.image.max() == 1:
        warnings.warn(
            f"{spec}: uint8 images mean value / 255, but the largest value is 1. "
            "Save bits as bool.",
            stacklevel=3,
        )
    return Source(train, validation, test, default_scale(train.image))
