"""What `evaluate --all` looks at: a run, held-out images and training images."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import jax
import numpy as np

import vaejax
from experiments.errors import UserError
from experiments.evaluate import has_likelihood, images_of, training_data
from experiments.models import trains_prior
from experiments.scoring import as_picture, likelihood_support, ready
from experiments.workdir import Run, recipe_of

NUM_TRAIN = 5000  # training images, at most, that are looked at


class NotMeasuredError(Exception):
    """Why a number is not there, in words for the reader of the page."""


class Images(NamedTuple):
    """Images of one set, all `[N, ...]`."""

    x: jax.Array  # as the model sees them
    picture: np.ndarray  # 1.0 for white
    label: np.ndarray | None
    rows: np.ndarray  # their places in the set


class Subject(NamedTuple):
    """A run and the images it is asked about."""

    run: Run
    name: str  # of the held-out images
    held_out: Images
    train: Images
    num_particles: int
    is_likelihood: bool  # whether log p(x|z) of these images is one
    support: str  # of the likelihood
    trains_prior: bool

    @property
    def model(self) -> vaejax.Model:
        """The model of the run."""
        return self.run.model

    @property
    def params(self) -> Any:
        """Its parameters."""
        return self.run.state.params

    @property
    def seed(self) -> int:
        """The seed of the run, from which all keys here are made."""
        return self.run.settings["training"]["seed"]


def subject_of(
    run: Run,
    dataset: str | None,
    data_dir: str | None,
    num_images: int,
    num_particles: int,
    allow: Collection[str],
) -> Subject:
    """Loads what is looked at.

    Raises:
      UserError: if there are fewer than two images, or data are not as in training.
    """
    images = images_of(run, dataset, data_dir)
    data = training_data(run)
    if len(images.split.image) < 2:
        raise UserError(f"{images.name} has one image: --all needs at least 2.")
    shape = tuple(run.settings["data"]["event_shape"])
    recipe, _ = recipe_of(run.settings, allow=allow)
    seed = run.settings["training"]["seed"]
    return Subject(
        run,
        images.name,
        some(run, images.split, images.scale, num_images, seed),
        some(run, data.train, data.scale, NUM_TRAIN, seed),
        num_particles,
        has_likelihood(run, images),
        likelihood_support(run.model, shape)[0],
        trains_prior(recipe, shape),
    )


def some(
    run: Run, split: vaejax.data.Split, scale: float, num: int, seed: int
) -> Images:
    """At most `num` images, drawn without replacement and left in their order.

    Args:
      run: says how the model sees them.
      split: the images, as stored.
      scale: what 1.0 means in them.
      num: how many, at most.
      seed: of the draw.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(split.image))[:num])
    image = split.image[rows]
    x = ready(run.settings, image, scale)
    picture = as_picture(run.settings, x)
    if run.settings["data"]["binarize"] == "dynamic":  # the model's means are grey
        picture = image.astype(np.float32) / np.float32(scale)
    label = None if split.label is None else split.label[rows]
    return Images(x, picture, label, rows)


def ask(function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function of arrays, if the parts of the model allow it.

    That is asked of shapes alone, so an error of the work is never taken for a reason.

    Raises:
      NotMeasuredError: with the words of its TypeError.
    """
    try:
        jax.eval_shape(function, *args)
    except TypeError as error:
        raise NotMeasuredError(str(error)) from error
    return function(*args)


def number(value: Any, error: Any = None) -> dict[str, Any]:
    """A number or a vector with its standard error, as JSON has them."""
    plain = [
        None if part is None else np.asarray(part).tolist() for part in (value, error)
    ]
    return dict(zip(("value", "standard_error"), plain, strict=True))
