"""`python -m experiments evaluate`: how likely images are under a trained model."""

from typing import Any

import vaejax
from experiments.errors import UserError
from experiments.scoring import likelihood_support, ready, score
from experiments.workdir import Run, load


def evaluate(
    *, workdir: str, dataset: str | None = None, num_particles: int = 1000
) -> dict[str, Any]:
    """Scores images: ELBO, importance-weighted log-likelihood, rate and distortion.

    Args:
      workdir: the folder of a run.
      dataset: whose images; all of npz:FILE, the test split of a set that has one.
        Default: the test split of the run's data, else its validation images.
      num_particles: posterior samples per image.
    """
    if num_particles < 1:
        raise UserError(f"--num-particles must be at least 1, got {num_particles}.")
    run = load(workdir)
    name, split = images_of(run, dataset)
    data, seed = run.settings["data"], run.settings["training"]["seed"]
    support = likelihood_support(run.model, split.image.shape[1:])
    try:
        is_likelihood = vaejax.data.check_support(
            split, support, data["binarize"], scale=data["scale"]
        )
    except vaejax.data.DataError as error:
        raise UserError(f"{name}: {error}") from error
    x = ready(data, split.image, seed)
    scores = score(
        seed, run.model, run.state.params, x, num_particles, is_likelihood=is_likelihood
    )
    return scores | {"num_particles": num_particles, "dataset": name}


def images_of(run: Run, dataset: str | None) -> tuple[str, vaejax.data.Split]:
    """The images to use, and what they are called.

    Args:
      run: gives the event shape, and the data where none is named.
      dataset: a spec, or None for the run's test split, else its validation images.

    Raises:
      UserError: if there are none, or they are of another shape than the run's.
    """
    data = run.settings["data"]
    if dataset is not None:
        name = dataset
        split = vaejax.data.load_split(dataset, data_dir=data["data_dir"])
    else:
        images = training_data(run)
        part = "validation" if images.test is None else "test"
        name, split = f"{images.name} ({part})", images.test or images.validation
    if not len(split.image):
        raise UserError(f"{name} has no images: name some with --dataset.")
    if list(split.image.shape[1:]) != data["event_shape"]:
        raise UserError(
            f"{name} has images of shape {split.image.shape[1:]}, the model was "
            f"trained on {tuple(data['event_shape'])}."
        )
    return name, split


def training_data(run: Run) -> vaejax.data.Dataset:
    """The dataset a run was trained on, loaded again and known to be the same.

    Raises:
      UserError: if its SHA-256 differs.
    """
    data, training = run.settings["data"], run.settings["training"]
    images = vaejax.data.load(
        data["dataset"],
        data_dir=data["data_dir"],
        validation=data["validation"],
        validation_fraction=data["validation_fraction"],
        seed=training["seed"],
    )
    if vaejax.data.sha256(images.train) != data["train_sha256"]:
        raise UserError(
            f"{data['dataset']} is no longer the data of this run (its SHA-256 "
            "differs): name images with --dataset."
        )
    return images
