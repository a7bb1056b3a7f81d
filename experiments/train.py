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
from experiments.interruption import requests
from experiments.loop import MAX_SKIPPED, Plan, fit, json_lines, say, tensorboard
from experiments.models import Recipe
from experiments.parts import Part, outsiders
from experiments.resolve import resolve
from experiments.scoring import check_seed, prepare_of, ready, root_keys, score
from vaejax.parallel import join, local

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
    skip_norm: float | None = None,
    ema_decay: float | None = None,
    num_microbatches: int = 1,
    max_skipped: int = MAX_SKIPPED,
    patience: int | None = None,
    num_validation_particles: int = 1,
    max_cpu_seconds: float | None = None,
    max_seconds: float | None = None,
    parallel: Literal["none", "pmap", "jit"] = "none",
    min_shard_size: int | None = None,
    stream: bool = False,
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    save_seconds: float = 20.0,
    start_from: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Trains a model, and continues a run that was stopped.

    Args:
      model: what to train, vae or ae.
      workdir: folder of the run. A stopped run in it is continued, a finished one
        printed again; a run with other settings or data is refused.
      dataset: digits, mnist, fashion_mnist, sprites, idx:FOLDER, npz:FILE or
        tfds:NAME.
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
      skip_norm: skip steps with a longer gradient than this, but at most 10 in a row;
        the next is taken, shortened to it.
      ema_decay: score, keep as the best and use in all other verbs the exponential
        average of the parameters, of which a step keeps this share, such as 0.999;
        training itself goes on from the parameters.
      num_microbatches: in how many parts, one after the other, each device computes
        the gradient of its images, to need less memory; for objectives that look at
        examples one by one.
      max_skipped: stop after so many steps in a row whose loss or gradient was not
        finite; such a step changes nothing.
      patience: stop after so many epochs without a better validation score, and keep
        the best.
      num_validation_particles: posterior samples per validation image; one scores by
        the ELBO, more by the importance-weighted bound, as suits iwae.
      max_cpu_seconds: stop after so much time of this process, its threads added up;
        under --patience the best is kept, as always.
      max_seconds: save after so much time in this process, and exit with code 75;
        repeat the command to go on. For the limit of a queue; leave it some time to
        save.
      parallel: none, or pmap or jit over all devices; JAX_NUM_CPU_DEVICES=4 simulates
        four.
      min_shard_size: under --parallel jit, split every array of parameters and
        optimizer with at least so many elements over the devices.
      stream: keep the images on the host and read batches ahead, with the same losses;
        each of several processes reads its own rows.
      coordinator: HOST:PORT of the first of several processes that train one model, or
        auto for what the cluster says; every process gets the same command.
      num_processes: how many there are.
      process_id: which one this is, from 0; it alone writes, but for checkpoints.
      save_seconds: time between checkpoints.
      start_from: folder of a run whose posterior, prior and likelihood this one starts
        with, such as a VAE to go on with under another objective.
      seed: of everything random.
    """
    arguments = dict(locals())
    check_seed(seed)
    with requests(say) as signalled:
        _join(coordinator, num_processes, process_id, parallel)
        return _train(arguments, signalled)


def _train(arguments: dict[str, Any], signalled: Callable[[], int]) -> dict[str, Any]:
    """What `train` does once it can be interrupted and all processes are there."""
    images = vaejax.data.load(
        arguments["dataset"],
        data_dir=arguments["data_dir"],
        validation_fraction=arguments["validation_fraction"],
        validation=arguments["validation"],
        seed=arguments["seed"],
    )
    settings, recipe, is_likelihood = resolve(arguments, images)
    training, outside = settings["training"], outsiders(arguments["model"])
    source = None
    if arguments["start_from"] is not None:
        source = folder.load(arguments["start_from"], allow=outside).state.params
        training["start_from"] = vaejax.checkpoint.params_sha256(source)
    path = Path(arguments["workdir"])
    finished = folder.claim(path, settings)
    if finished is not None:
        return finished
    say(f"settings: {json.dumps(settings)}")
    _, state = folder.start(settings, first_images(settings, images), allow=outside)
    if source is not None:
        state = state._replace(params=_exchanged(state.params, source))
    epoch, place, data = _compiled(settings, recipe, images, arguments)
    validate = _validation(settings, recipe, images, is_likelihood)
    best = "score" if len(images.validation.image) else None
    num_steps = training["num_steps"]
    warmup_end = vaejax.schedules.warmup_end(recipe.schedule, num_steps)
    plan = _plan(arguments, num_steps, len(images.train.image), warmup_end)
    with vaejax.checkpoint.Checkpoints(
        path / folder.CHECKPOINTS, best=best
    ) as checkpoints:
        log = _log(path, max(checkpoints.steps(), default=0))
        outcome = fit(
            epoch, place(state), data, plan, checkpoints, validate, log, signalled
        )
    final_state = local(outcome.state)
    final = validate(final_state, max(10, training["num_validation_particles"]))
    params = vaejax.averaged_params(final_state)
    rate = outcome.steps_per_second
    result = {
        "step": int(final_state.step),
        "loss": outcome.notes["epoch"]["loss"],
        "elbo": final.get("validation_elbo"),
        "distortion": final.get("validation_distortion"),
        "images_per_second": None if rate is None else rate * training["batch_size"],
        "compile_seconds": outcome.compile_seconds,
        "seconds": outcome.seconds,
        "cpu_seconds": outcome.cpu_seconds,
        "num_steps": outcome.step,
        "params_sha256": vaejax.checkpoint.params_sha256(params),
        "workdir": arguments["workdir"],
    }
    if jax.process_index() == 0:
        folder.write_json(path / folder.RESULT, result)
    return result


def _join(
    coordinator: str | None,
    num_processes: int | None,
    process_id: int | None,
    parallel: str,
) -> None:
    """Joins the other processes of a run, if there are any.

    Raises:
      UserError: if the flags do not go together, or the others are not found.
    """
    if coordinator is None:
        if (num_processes, process_id) != (None, None):
            raise UserError("--num-processes and --process-id need --coordinator.")
        return
    if parallel == "none":
        raise UserError("--coordinator needs --parallel pmap or jit.")
    try:
        join(coordinator, num_processes, process_id)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"--coordinator {coordinator}: {error}") from error


def _plan(
    arguments: dict[str, Any], num_steps: int, num_images: int, warmup_end: int
) -> Plan:
    names = "max_cpu_seconds", "max_seconds"
    limits = {n: math.inf if arguments[n] is None else arguments[n] for n in names}
    return Plan(
        num_steps,
        num_images // arguments["batch_size"],
        arguments["patience"],
        arguments["save_seconds"],
        max_skipped=arguments["max_skipped"],
        warmup_end=warmup_end,
        **limits,
    )


def _log(path: Path, step: int) -> Callable[[dict[str, Any]], None]:
    """Where the metrics of each epoch after a step go; the first process writes."""
    if jax.process_index():
        return lambda metrics: None
    return tensorboard(path, step, json_lines(path / folder.METRICS, step))


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
            vaejax.averaged_params(state),
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


def first_images(settings: dict[str, Any], images: vaejax.data.Dataset) -> jax.Array:
    """Training images drawn by the seed, as the model sees them, to initialise from."""
    seed, image = settings["training"]["seed"], images.train.image
    order = np.argsort(np.random.PCG64([seed, 1]).random_raw(len(image)))
    x = image[order[: folder.NUM_INIT]]
    return prepare_of(settings)(root_keys(seed)[3], x, scale=images.scale)


def _compiled(
    settings: dict[str, Any],
    recipe: Recipe,
    images: vaejax.data.Dataset,
    arguments: dict[str, Any],
) -> tuple[Any, Callable[[Any], Any], Any]:
    """The compiled epoch, what puts a state in place, and the data in their place."""
    training = settings["training"]
    optimizer, num = optimizers.build_optimizer(training), training["num_microbatches"]

    def step(state: vaejax.TrainState, x: Any) -> Any:
        objective = vaejax.watched(recipe.objective(state.step))
        return vaejax.train_step(
            recipe.model, objective, optimizer, state, x, num_microbatches=num
        )

    batch_size, image = training["batch_size"], images.train.image
    prepare = functools.partial(prepare_of(settings), scale=images.scale)
    epoch = functools.partial(vaejax.train_epoch, step, batch_size, prepare=prepare)
    if arguments["stream"]:
        epoch = functools.partial(vaejax.train_chunk, step, prepare=prepare)
    mode, mesh = arguments["parallel"], None
    place = functools.partial(jax.tree.map, jnp.asarray)
    compiled: Callable[..., Any] = jax.jit(epoch, donate_argnums=0)
    if mode != "none":
        mesh = Mesh(np.array(jax.devices()), ("batch",))
        size = arguments["min_shard_size"]
        compiled = vaejax.parallelize(epoch, mesh, mode, min_shard_size=size)
        place = functools.partial(vaejax.replicate, mesh=mesh)
    if arguments["stream"]:
        compiled = vaejax.streamed(compiled, batch_size, mesh=mesh)
        return compiled, place, vaejax.data.from_arrays(image)
    return compiled, place, place(image)
