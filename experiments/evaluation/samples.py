"""How like data the samples are, beside as many training images."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.classifier import described, features_of
from experiments.evaluation.latents import check_prior
from experiments.evaluation.subject import NotMeasuredError, Subject, number
from experiments.scoring import as_picture
from vaejax import evaluate
from vaejax.base import Key
from vaejax.evaluate import Features

MIN_IMAGES = 40  # for blocks, groups and neighbours
SEED = 0  # of the classifier, the same for all runs on a data set


def drawn(key: Key, subject: Subject, num: int) -> np.ndarray:
    """Means of p(x|z) of draws of the prior, as pictures `[num, ...]`.

    Raises:
      NotMeasuredError: if the prior was not trained.
    """
    check_prior(subject)
    z = subject.model.prior(subject.params).sample(key, (num,))
    return decoded(subject, z)


def decoded(subject: Subject, z: Any) -> np.ndarray:
    """Means of p(x|z), as pictures."""
    means = jax.jit(lambda params, z: subject.model.decode(params, z).mean())
    return as_picture(subject.run.settings, means(subject.params, z))


def quality(key: Key, subject: Subject) -> dict[str, Any]:
    """Distances from held-out images of samples, and of training images to compare.

    In features of the classifier of the data set; in pixels where there are no labels.
    All are means of p(x|z), no draws of it, beside images as they are stored.
    """
    real, train = subject.held_out.picture, subject.train.picture
    num = min(len(real), len(train))
    if num < MIN_IMAGES:
        raise NotMeasuredError(
            f"It needs {MIN_IMAGES} held-out and training images; there are {num}."
        )
    sample_key, test_key, train_key = jax.random.split(key, 3)
    sampled = drawn(sample_key, subject, num)
    features, about = features_and_words(subject)
    rows = np.random.default_rng(subject.seed).permutation(len(train))
    given, known = features(real[:num]), features(train)
    distances = functools.partial(_distances, known=known, given=given)
    return {
        "features": about,
        "num_images": num,
        "samples": _with(about, distances(test_key, features(sampled))),
        "training_images": _with(
            about, distances(train_key, features(train[rows[:num]]), is_known=True)
        ),
    }


def features_and_words(subject: Subject) -> tuple[Features, dict[str, Any]]:
    """What pictures are compared in, and what is printed beside each number."""
    data = subject.run.settings["data"]
    if subject.train.label is None or not (subject.train.label >= 0).any():
        pixels = Features(
            lambda x: jnp.reshape(x, (len(x), -1)), None, float("nan"), float("nan")
        )
        return pixels, {"kind": "pixels", "accuracy": None, "sha256": None}
    features = features_of(data["dataset"], data["data_dir"], SEED)
    about = described(features, data["dataset"], SEED)
    return features, {"kind": "classifier"} | about


def _distances(
    key: Key,
    rows: jax.Array,
    *,
    known: jax.Array,
    given: jax.Array,
    is_known: bool = False,
) -> dict[str, Any]:
    """Of features `[N, F]` of samples, or of training images."""
    values: dict[str, Any] = {"frechet_distance": None}
    if len(rows) > rows.shape[1]:  # else its covariance has no full rank
        values["frechet_distance"] = number(*evaluate.frechet_distance(given, rows)[:2])
    values["kernel_distance"] = number(*evaluate.kernel_distance(given, rows)[:2])
    balls = evaluate.coverage(given, rows)
    values |= {name: number(*measured[:2]) for name, measured in balls.items()}
    test = evaluate.two_sample_test(key, jnp.asarray(given), jnp.asarray(rows), 499)
    values["two_sample_p_value"] = number(test.p_value)
    values["nearest_training_image"] = None
    if not is_known:
        near = np.asarray(evaluate.nearest_neighbors(rows, known).distances)
        far = np.asarray(evaluate.nearest_neighbors(given, known).distances)
        values["nearest_training_image"] = number(*_mean(near))
        values["nearest_training_image_of_held_out"] = number(*_mean(far))
    return values


def _mean(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1)) / len(values) ** 0.5


def _with(about: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Each number with the hash and the accuracy of what it was measured in."""
    words = {f"features_{n}": about[n] for n in ("accuracy", "sha256")}
    return {n: None if v is None else v | words for n, v in values.items()}
