"""`python -m experiments classifier`: the features that samples are measured in."""

import functools
from typing import Any

import vaejax
from experiments.encode import output
from experiments.errors import UserError
from experiments.scoring import check_seed
from vaejax.evaluate import Features, classifier_features


def classifier(
    *,
    dataset: str = "digits",
    data_dir: str | None = None,
    out: str = "classifier.safetensors",
    seed: int = 0,
) -> dict[str, Any]:
    """Makes and stores the small classifier in whose features samples are measured.

    Everything follows from the data and the seed. Numbers in features of another hash
    are never to be compared; `evaluate --all` prints the hash beside each.

    Args:
      dataset: a data set with labels, as in train.
      data_dir: where its files lie, as in train.
      out: the .safetensors file to write.
      seed: of the initial parameters, of the batches, and of the images held out where
        the data set holds none out itself.
    """
    path = output(out, ".safetensors")
    features = features_of(dataset, data_dir, seed)
    assert features.params is not None
    words = {"dataset": dataset, "seed": str(seed), "sha256": features.sha256 or ""}
    vaejax.checkpoint.export_params(path, features.params, words)
    return described(features, dataset, seed) | {"out": out}


@functools.cache
def features_of(dataset: str, data_dir: str | None, seed: int) -> Features:
    """The classifier of a data set and a seed, whatever else a run holds out.

    Raises:
      UserError: if there are no labels, or no images to hold out.
    """
    check_seed(seed)
    data = vaejax.data.load(dataset, data_dir=data_dir, seed=seed)
    try:
        return classifier_features(data, seed=seed)
    except ValueError as error:
        raise UserError(str(error)) from error


def described(features: Features, dataset: str, seed: int) -> dict[str, Any]:
    """What is printed beside each number in these features."""
    return {
        "dataset": dataset,
        "seed": seed,
        "accuracy": features.accuracy,
        "standard_error": features.standard_error,
        "sha256": features.sha256,
    }
