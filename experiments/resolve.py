"""What `train` settles before any work: every choice made, every value checked."""

import functools
import traceback
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import vaejax
from experiments import optimizer as optimizers
from experiments import workdir as folder
from experiments.errors import UserError
from experiments.loop import say
from experiments.models import Recipe
from experiments.parts import build, fill, outsiders
from experiments.scoring import has_log_prob, likelihood_support
from vaejax.batch import share

TRAINING = (  # the arguments that settings keep as they are
    "batch_size",
    "num_epochs",
    "optimizer",
    "learning_rate",
    "learning_rate_schedule",
    "weight_decay",
    "clip_norm",
    "skip_norm",
    "ema_decay",
    "num_microbatches",
    "patience",
    "num_validation_particles",
    "max_cpu_seconds",
    "seed",
)


def resolve(
    arguments: dict[str, Any], images: vaejax.data.Dataset
) -> tuple[dict[str, Any], Recipe, bool]:
    """The settings of a run, its choices made, and the recipe they build.

    Returns:
      The settings, the recipe they build, and whether `log_prob` of the data under the
      likelihood is a log-likelihood.
    """
    _check(arguments, images)
    shape, num_images = images.train.image.shape[1:], len(images.train.image)
    chosen = fill(arguments["model"], {"num_examples": num_images})
    try:
        recipe = build("model", chosen, outsiders(chosen))(shape)
    except (OverflowError, TypeError, ValueError) as error:
        raise UserError(str(error)) from error
    training = {name: arguments[name] for name in TRAINING}
    epoch_steps = num_images // arguments["batch_size"]
    training["num_steps"] = arguments["num_epochs"] * epoch_steps
    optimizer = optimizers.build_optimizer(training)
    _try_out(
        recipe,
        functools.partial(
            vaejax.train_step, num_microbatches=arguments["num_microbatches"]
        ),
        optimizer,
        (arguments["batch_size"], *shape),
        outsiders(chosen),
    )
    support, num = likelihood_support(recipe.model, shape)
    binarize = arguments["binarize"]
    if binarize == "auto":
        grey = images.train.image.dtype != np.bool_
        binarize = "dynamic" if support == "binary" and grey else "none"
    try:
        is_likelihood = vaejax.data.check_support(
            images, support, binarize, num_values=num
        )
    except vaejax.data.DataError:
        raise
    except ValueError as error:  # a support that nobody knows, of a part from outside
        raise UserError(f"--likelihood: {error}") from error
    if not is_likelihood:
        say(
            "warning: these images are not binary, so their cross entropy under a "
            "Bernoulli likelihood is a loss but no log-likelihood; elbo and "
            "log_likelihood will be null. See --binarize and --likelihood."
        )
    is_likelihood = is_likelihood and has_log_prob(recipe.model, shape)
    data = {name: arguments[name] for name in ("dataset", "data_dir", "validation")}
    data |= {
        "validation_fraction": arguments["validation_fraction"],
        "binarize": binarize,
        "support": support,
        "event_shape": list(shape),
        "scale": images.scale,
        "is_likelihood": is_likelihood,
        "dtype": images.train.image.dtype.name,
    }
    for part in folder.PARTS:
        split = getattr(images, part)
        data[f"{part}_sha256"] = None if split is None else vaejax.data.sha256(split)
    model = {**chosen, **recipe.resolved}
    settings = {"version": vaejax.__version__, "model": model}
    return settings | {"data": data, "training": training}, recipe, is_likelihood


def _check(arguments: dict[str, Any], images: vaejax.data.Dataset) -> None:
    """Refuses numbers that the data or the devices do not allow."""
    num_images = len(images.train.image)
    batch_size, num_epochs = arguments["batch_size"], arguments["num_epochs"]
    if not 1 <= batch_size <= num_images:
        raise UserError(
            f"--batch-size must be from 1 to {num_images}, the number of training "
            f"images; got {batch_size}."
        )
    if arguments["min_shard_size"] is not None and (
        arguments["parallel"] != "jit" or arguments["min_shard_size"] < 1
    ):
        raise UserError("--min-shard-size must be at least 1, with --parallel jit.")
    if arguments["parallel"] != "none":
        try:
            share(batch_size, jax.device_count())
        except ValueError as error:
            raise UserError(f"--batch-size: {error}") from error
    _check_microbatches(arguments)
    if arguments["max_skipped"] < 1:
        raise UserError(
            f"--max-skipped must be at least 1, got {arguments['max_skipped']}."
        )
    if num_epochs < 1 or not arguments["save_seconds"] >= 0:
        raise UserError("--num-epochs must be at least 1, --save-seconds at least 0.")
    if arguments["patience"] is not None and (
        arguments["patience"] < 1 or not len(images.validation.image)
    ):
        raise UserError("--patience must be at least 1, and needs validation images.")
    if arguments["num_validation_particles"] < 1:
        raise UserError("--num-validation-particles must be at least 1.")
    for name in ("max_cpu_seconds", "max_seconds"):
        if (limit := arguments[name]) is not None and not limit > 0:
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"{flag} must be positive, got {limit}.")


def _check_microbatches(arguments: dict[str, Any]) -> None:
    num_local, num = arguments["batch_size"], arguments["num_microbatches"]
    if arguments["parallel"] != "none":
        num_local = share(num_local, jax.device_count())
    if num < 1 or num_local % num:
        raise UserError(
            f"--num-microbatches must divide the {num_local} images of a batch that a "
            f"device has, got {num}."
        )


def _try_out(
    recipe: Recipe,
    step: Callable[..., Any],
    optimizer: optax.GradientTransformation,
    batch_shape: tuple[int, ...],
    outside: list[str],
) -> None:
    """Takes a step of shapes alone: parts that do not go together are refused here.

    Raises:
      UserError: with what the part said that could not do its work; what code from
        outside the library did is shown in full.
    """

    def first_step(key: jax.Array, init: jax.Array, x: jax.Array) -> Any:
        objective = recipe.objective(jnp.int32(0))
        state = vaejax.init_state(key, recipe.model, objective, optimizer, init)
        objective = recipe.objective(state.step)
        return step(recipe.model, objective, optimizer, state, x)

    init = jax.ShapeDtypeStruct((folder.NUM_INIT, *batch_shape[1:]), jnp.float32)
    x = jax.ShapeDtypeStruct(batch_shape, jnp.float32)
    try:
        jax.eval_shape(first_step, jax.random.key(0), init, x)
    except (AssertionError, OverflowError, TypeError, ValueError) as error:
        if outside:
            traceback.print_exc()
        raise UserError(f"these parts do not go together: {error}") from error
