"""`python -m experiments anomalies`: which score tells outliers from images like ours.

A verb of its own, beside `evaluate`: it asks two sets of images, and a second run, the
auto-encoder whose reconstruction error is the baseline.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.encode import output
from experiments.errors import UserError
from experiments.evaluate import has_likelihood, images_of, training_data
from experiments.evaluation.likelihood import DISCRETE
from experiments.evaluation.subject import (
    NUM_TRAIN,
    Images,
    NotMeasuredError,
    ask,
    some,
)
from experiments.scoring import has_elbo, likelihood_support
from experiments.workdir import Run, load, write_json
from vaejax import evaluate
from vaejax.base import Key

OWN_KEY = 2000  # beyond the root keys of a run, which are folds of its seed too


class Set(NamedTuple):
    """Images of one set."""

    name: str
    images: Images
    stored: np.ndarray  # the same images in whole numbers, as their code counts them
    is_likelihood: bool


def anomalies(
    *,
    workdir: str,
    outliers: str,
    outliers_dir: str | None = None,
    baseline: str | None = None,
    dataset: str | None = None,
    data_dir: str | None = None,
    num_images: int = 500,
    num_particles: int = 100,
    num_steps: int = 200,
    out: str | None = None,
    allow: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Says how well each score of a run tells outliers from new images of its data.

    The area under the curve of true against false alarms, with its standard error: 0.5
    is chance, and below it outliers look the more usual. Where `is_likelihood` is false
    the ELBO is a score like others, and no bound on a likelihood.

    Args:
      workdir: the folder of a run.
      outliers: a data set of images of the same shape, as in evaluate.
      outliers_dir: where its files lie, as in train.
      baseline: the folder of another run, such as an auto-encoder (train ae), whose
        reconstruction error is scored too.
      dataset: the images that belong; as in evaluate.
      data_dir: where the files of that dataset lie, as in train.
      num_images: of each set, at most.
      num_particles: posterior samples per image.
      num_steps: of the posterior that likelihood regret fits to each image.
      out: a .json file to write too.
      allow: code from outside the library that the run may name, as in `load`.
    """
    for flag, count, least in (
        ("num-images", num_images, 2),
        ("num-particles", num_particles, 2),
        ("num-steps", num_steps, 1),
    ):
        if count < least:
            raise UserError(f"--{flag} must be at least {least}, got {count}.")
    path = None if out is None else output(out, ".json")
    run = load(workdir, allow=allow)
    pair = _pair(run, dataset, data_dir, outliers, outliers_dir, num_images)
    scores = _scores(run, pair, num_particles, num_steps)
    if baseline is not None:
        other = load(baseline, allow=allow)
        theirs = _pair(other, dataset, data_dir, outliers, outliers_dir, num_images)
        key = jax.random.fold_in(_key(other), 3)
        scores["baseline_distortion"] = _distortion(key, other, theirs)
    result = {
        "inliers": pair[0].name,
        "outliers": pair[1].name,
        "num_images": [len(images.stored) for images in pair],
        "num_particles": num_particles,
        "num_steps": num_steps,
        "is_likelihood": all(images.is_likelihood for images in pair),
        "auroc": {name: _judged(both) for name, both in scores.items()},
    }
    if path is not None:
        write_json(path, result)
    return result


Scored = tuple[Any, Any] | str  # of inliers and outliers, or why there is none


def _scores(
    run: Run, pair: tuple[Set, Set], num_particles: int, num_steps: int
) -> dict[str, Scored]:
    """Every score of both sets; both have the same keys, and so the same noise."""
    model, params = run.model, run.state.params
    data = training_data(run)
    seed = run.settings["training"]["seed"]
    train = some(run, data.train, data.scale, NUM_TRAIN, seed)
    of_model, fit, distance = (jax.random.fold_in(_key(run), i) for i in range(3))
    support, _ = likelihood_support(model, train.x.shape[1:])
    is_coded = support in DISCRETE and all(
        s.is_likelihood and _is_coded(s.stored) for s in pair
    )

    def by_likelihood(images: Set) -> dict[str, Any]:
        scores = ask(
            lambda key, params, x: evaluate.anomaly_scores(
                key, model, params, x, num_particles
            ),
            jax.random.clone(of_model),
            params,
            images.images.x,
        )
        if is_coded:
            cost = evaluate.input_complexity(images.stored)
            scores["complexity_corrected"] = scores["negative_log_likelihood"] - cost
            scores["input_complexity"] = cost
        return scores

    def regret(images: Set) -> jax.Array:
        return ask(
            lambda key, params, x: evaluate.likelihood_regret(
                key, model, params, x, num_particles, num_steps=num_steps, images=32
            ),
            jax.random.clone(fit),
            params,
            images.images.x,
        ).value

    def latent(images: Set) -> np.ndarray:
        key = jax.random.clone(distance)
        try:
            return evaluate.latent_distance(
                key, model, params, images.images.x, train.x
            )
        except (TypeError, ValueError) as error:  # no mean in closed form, few images
            raise NotMeasuredError(str(error)) from error

    scores: dict[str, Scored] = {}
    try:
        inside, outside = map(by_likelihood, pair)
        scores |= {name: (inside[name], outside[name]) for name in inside}
    except NotMeasuredError as error:
        scores["distortion"] = _distortion(of_model, run, pair)
        names = ("negative_elbo", "negative_log_likelihood", "complexity_corrected")
        scores |= {name: str(error) for name in names}
    if "complexity_corrected" not in scores:
        scores["complexity_corrected"] = (
            "It needs probabilities of whole numbers from 0 to 255: this likelihood is "
            "a density, or gives these images none."
        )
    for name, score in (("likelihood_regret", regret), ("latent_distance", latent)):
        try:
            scores[name] = (score(pair[0]), score(pair[1]))
        except NotMeasuredError as error:
            scores[name] = str(error)
    return scores


def _is_coded(stored: np.ndarray) -> bool:
    """Whether these are the whole numbers that `input_complexity` takes."""
    return bool((stored == stored.astype(np.uint8)).all())


def _distortion(key: Key, run: Run, pair: tuple[Set, Set]) -> Scored:
    """The reconstruction error, with the same noise for both sets."""

    def of(images: Set) -> jax.Array:
        x = images.images.x
        return evaluate.distortion(
            jax.random.clone(key), run.model, run.state.params, x, 16
        )

    return of(pair[0]), of(pair[1])


def _judged(scores: Scored) -> dict[str, Any]:
    if isinstance(scores, str):
        return {"value": None, "standard_error": None, "reason": scores}
    return evaluate.auroc(*scores)._asdict() | {"reason": None}


def _pair(
    run: Run,
    dataset: str | None,
    data_dir: str | None,
    outliers: str,
    outliers_dir: str | None,
    num_images: int,
) -> tuple[Set, Set]:
    """Images that belong, and outliers."""
    inside = _set(run, dataset, data_dir, num_images)
    return inside, _set(run, outliers, outliers_dir, num_images)


def _set(run: Run, dataset: str | None, data_dir: str | None, num_images: int) -> Set:
    images = images_of(run, dataset, data_dir)
    if len(images.split.image) < 2:
        raise UserError(f"{images.name} has one image: at least 2 are needed.")
    shape = images.split.image.shape[1:]
    is_likelihood = has_likelihood(run, images) and has_elbo(run.model, shape)
    chosen = some(run, images.split, images.scale, num_images, 0)
    stored = images.split.image[chosen.rows]
    support, _ = likelihood_support(run.model, shape)
    if support == "binary" and is_likelihood:
        stored = np.asarray(chosen.x).astype(bool)  # the bits that have a probability
    return Set(images.name, chosen, stored, is_likelihood)


def _key(run: Run) -> jax.Array:
    seed = run.settings["training"]["seed"]
    return jax.random.fold_in(jax.random.key(seed), OWN_KEY)
