"""`python -m experiments train vae`: one model, trained, scored and kept."""

import functools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

import vaejax
from experiments import optimizer as optimizers
from experiments import workdir as folder
from experiments.errors import UserError
from experiments.loop import Plan, fit, json_lines, say, tensorboard
from experiments.models import Recipe
from experiments.parts import Part, outsiders
from experiments.resolve import resolve
from experiments.scoring import (
    check_seed,
    prepare_of,
    ready,
    root_keys,
    score,
)

PARTS = ("posterior", "prior", "likelihood")  # of a model's parameters


def train(
    model: Part,
    *,
    workdir: str,
    dataset: str = "digits",
    data_dir: str | None = None,
    validation: str | None = None,
    validation_fraction: float = 0.1,
    binarize: Literal["auto", "none", "dynamic", "threshold"] = "auto",
    batch_size: int = 128,
    num_epochs: int = 20,
    optimizer: optimizers.Name = "adam",
    learning_rate: float = 1e-3,
    learning_rate_schedule: optimizers.Schedule = "constant",
    weight_decay: float = 0.0,
    clip_norm: float | None = None,
    patience: int | None = None,
    num_validation_particles: int = 1,
    max_cpu_seconds: float | None = None,
    parallel: Literal["none", "pmap", "jit"] = "none",
    save_seconds: float = 20.0,
    start_from: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Trains a model, and continues a run that was stopped.

    Args:
      model: what to train, vae or ae.
      workdir: folder of the run. A stopped run in it is continued, a finished one
        printed again; a run with other settings or data is refused.
      dataset: digits, mnist, fashion_mnist, idx:FOLDER, npz:FILE or tfds:NAME.
      data_dir: where the files of mnist, fashion_mnist or tfds sets lie.
      validation: images to validate on, a dataset as above, in place of a part of
        the training images.
      validation_fraction: share of npz: and idx: images held out for validation.
      binarize: none, dynamic (a new draw at every step, intensities as
        probabilities) or threshold; auto is dynamic for grey images under a Bernoulli
        likelihood, else none.
      batch_size: images per step, over all devices.
      num_epochs: passes over the training images; may grow when a run is continued.
      optimizer: adam, adamax, rmsprop or sgd.
      learning_rate: step size, or its start under a schedule.
      learning_rate_schedule: constant, or falling to zero along a cosine or a line.
      weight_decay: decoupled, as in AdamW.
      clip_norm: largest norm of a gradient; longer ones are shortened to it.
      patience: stop after so many epochs without a better validation score, and keep
        the best.
      num_validation_particles: posterior samples per validation image; one scores by
        the ELBO, more by the importance-weighted bound, as suits iwae.
      max_cpu_seconds: stop after so much time of this process, its threads added up;
        under --patience the best is kept, as always.
      parallel: none, or pmap or jit over all devices; JAX_NUM_CPU_DEVICES=4 simulates
        four.
      save_seconds: time between checkpoints.
      start_from: folder of a run whose posterior, prior and likelihood this one starts
        with, such as a VAE to go on with under another objective.
      seed: of everything random.
    """
    arguments = dict(locals())
    check_seed(seed)
    images = vaejax.data.load(
        dataset,
        data_dir=data_dir,
        validation_fraction=validation_fraction,
        validation=validation,
        seed=seed,
    )
    settings, recipe, is_likelihood = resolve(arguments, images)
    source = None
    if start_from is not None:
        source = folder.load(start_from, allow=outsiders(model)).state.params
        sha256 = vaejax.checkpoint.params_sha256(source)
        settings["training"]["start_from"] = sha256
    path = Path(workdir)
    finished = folder.claim(path, settings)
    if finished is not None:
        return finished
    say(f"settings: {json.dumps(settings)}")
    epoch_steps = len(images.train.image) // batch_size
    training = settings["training"]
    limit = math.inf if max_cpu_seconds is None else max_cpu_seconds
    plan = Plan(training["num_steps"], epoch_steps, patience, save_seconds, limit)
    x = _first_images(settings, images)
    _, state = folder.start(settings, x, allow=outsiders(model))
    if source is not None:
        state = state._replace(params=_exchanged(state.params, source))
    epoch, data = _compiled(settings, recipe, images, parallel)
    validate = _validation(settings, recipe, images, is_likelihood)
    best = "score" if len(images.validation.image) else None
    with vaejax.checkpoint.Checkpoints(
        path / folder.CHECKPOINTS, best=best
    ) as checkpoints:
        newest = folder.newest(path)
        log = json_lines(path / folder.METRICS, newest)
        log = tensorboard(path, newest, log)
        outcome = fit(epoch, state, data, plan, checkpoints, validate, log)
    final = validate(outcome.state, max(10, num_validation_particles))
    rate = outcome.steps_per_second
    result = {
        "step": int(outcome.state.step),
        "loss": outcome.notes["epoch"]["loss"],
        "elbo": final.get("validation_elbo"),
        "distortion": final.get("validation_distortion"),
        "images_per_second": None if rate is None else rate * batch_size,
        "compile_seconds": outcome.compile_seconds,
        "seconds": outcome.seconds,
        "cpu_seconds": outcome.cpu_seconds,
        "num_steps": outcome.step,
        "params_sha256": vaejax.checkpoint.params_sha256(outcome.state.params),
        "workdir": workdir,
    }
    folder.write_json(path / folder.RESULT, result)
    return result


def _exchanged(params: dict[str, Any], source: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a model in exchange for those of a model of the same parts.

    Raises:
      UserError: if the parts have other parameters; the message names the first.
    """
    for name in PARTS:
        there, here = (
            {
                jax.tree_util.keystr(path): jnp.shape(leaf)
                for path, leaf in jax.tree_util.tree_leaves_with_path(tree[name])
            }
            for tree in (source, params)
        )
        if lines := folder.differences(there, here, name):
            raise UserError(
                f"--start-from: the {name} of that run has other parameters: {lines[0]}"
            )
    # From the host, to lie as those of a new state do: else the epoch compiles again.
    fresh = jax.tree.map(jnp.asarray, jax.device_get(source))
    return params | {name: fresh[name] for name in PARTS}


def _validation(
    settings: dict[str, Any],
    recipe: Recipe,
    images: vaejax.data.Dataset,
    is_likelihood: bool,
) -> Callable[..., dict[str, Any]]:
    """What to know of a state, `(state, num_particles) -> scores`; larger is better."""
    if not len(images.validation.image):
        return lambda state, num_particles=1: {}
    training = settings["training"]
    x = ready(settings, images.validation.image, images.scale)

    def validate(
        state: vaejax.TrainState,
        num_particles: int = training["num_validation_particles"],
    ) -> dict[str, Any]:
        scores = score(
            training["seed"],
            recipe.model,
            state.params,
            x,
            num_particles,
            is_likelihood=is_likelihood,
        )
        best = scores["log_likelihood"]  # of one particle, the ELBO
        best = -(scores["distortion"] or 0) if best is None else best
        return {
            "score": best,
            "validation_elbo": scores["elbo"],
            "validation_distortion": scores["distortion"],
        }

    return validate


def _first_images(settings: dict[str, Any], images: vaejax.data.Dataset) -> jax.Array:
    """Training images drawn by the seed, as the model sees them, to initialise from."""
    seed, image = settings["training"]["seed"], images.train.image
    order = np.argsort(np.random.PCG64([seed, 1]).random_raw(len(image)))
    x = image[order[: folder.NUM_INIT]]
    return prepare_of(settings)(root_keys(seed)[3], x, scale=images.scale)


def _compiled(
    settings: dict[str, Any],
    recipe: Recipe,
    images: vaejax.data.Dataset,
    parallel: Literal["none", "pmap", "jit"],
) -> tuple[Any, Any]:
    """The compiled epoch, and its data in place."""
    optimizer = optimizers.build_optimizer(settings["training"])

    def step(state: vaejax.TrainState, x: Any) -> Any:
        objective = recipe.objective(state.step)
        return vaejax.train_step(recipe.model, objective, optimizer, state, x)

    epoch = functools.partial(
        vaejax.train_epoch,
        step,
        settings["training"]["batch_size"],
        prepare=functools.partial(prepare_of(settings), scale=images.scale),
    )
    if parallel == "none":
        return jax.jit(epoch, donate_argnums=0), jnp.asarray(images.train.image)
    mesh = Mesh(np.array(jax.devices()), ("batch",))
    data = vaejax.replicate(images.train.image, mesh)
    return vaejax.parallelize(epoch, mesh, parallel), data
