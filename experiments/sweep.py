"""`python -m experiments sweep vae`: seeds and betas, all trained in one program.

sweep.json       what was measured of every run, and the table
sweep.md         the table: means over seeds, with standard errors
sweep.png        where the betas lie in the plane of rate and distortion
beta-4-seed-0/   a run, as every verb reads it
settings.json, checkpoints/, result.json   of the sweep, which goes on if stopped
"""

import copy
import functools
import inspect
import json
import math
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import vaejax
from experiments import curve, health, progress
from experiments import optimizer as optimizers
from experiments import workdir as folder
from experiments.errors import UserError
from experiments.evaluate import images_of
from experiments.interruption import InterruptedRunError, requests
from experiments.loop import (
    FIRST,
    MAX_SKIPPED,
    SEGMENT,
    SEGMENT_SECONDS,
    check_taken,
    json_lines,
    say,
    worth_telling,
)
from experiments.members import Program, Weights, member, one_device_a_core, program
from experiments.models import Recipe
from experiments.parts import Part, choices, flags
from experiments.resolve import resolve
from experiments.scoring import check_seed, prepare_of, root_keys
from experiments.train import first_images, train
from vaejax import tally

NEW: dict[str, Any] = {"so_far": {}, "epoch": {}, "health": health.NEW, "diverged": ""}
ANEW: dict[str, Any] = {"so_far": {}}  # at the start of an epoch


class Member(NamedTuple):
    """A run of the sweep."""

    seed: int
    beta: float | None  # None where the settings say it

    @property
    def name(self) -> str:
        """Of its folder."""
        beta = "" if self.beta is None else f"beta-{self.beta:.9g}-"
        return f"{beta}seed-{self.seed}"


class Plan(NamedTuple):
    """All that a sweep is made of, settled before any work."""

    path: Path
    members: list[Member]
    settings: list[dict[str, Any]]  # of each, as `train` writes them
    recipe: Recipe
    images: vaejax.data.Dataset
    num_at_once: int | None
    save_seconds: float

    @property
    def training(self) -> dict[str, Any]:
        """What all members have in common, but for the seed."""
        return self.settings[0]["training"]


def sweep(
    model: Part,
    *,
    workdir: str,
    seeds: int = 5,
    beta: tuple[float, ...] = (),
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
    num_at_once: int | None = None,
    num_images: int = 1000,
    num_particles: int = 100,
    save_seconds: float = 60.0,
    seed: int = 0,
) -> dict[str, Any]:
    """Trains a model from many seeds, and with many betas, in one compiled program.

    Writes a table of means over seeds with standard errors, sweep.md and sweep.json,
    and a figure, sweep.png. Every run has a folder of its own, which the other verbs
    read, and is the one that train makes of that seed and beta.

    Args:
      model: what to train, vae or ae.
      workdir: folder of the sweep. A stopped one in it is continued, a finished one
        printed again; one with other settings or data is refused.
      seeds: how many runs of each beta; they differ in everything random but the data.
      beta: weights of the rate, such as 0.5 1 2 4, for an objective that has one;
        each is trained from the same seeds. Default: that of the objective.
      dataset: as in train, also data_dir, validation, validation_fraction, binarize.
      data_dir: where the files of mnist, fashion_mnist or tfds sets lie.
      validation: images held out, a dataset, in place of a part of the training images.
      validation_fraction: share of npz: and idx: images held out.
      binarize: none, dynamic, threshold or auto.
      batch_size: images per step of each run.
      num_epochs: passes over the training images; may grow when a sweep is continued.
      optimizer: adam, adamax, rmsprop or sgd.
      learning_rate: step size, or its start under a schedule.
      learning_rate_schedule: constant, cosine or linear.
      weight_decay: decoupled, as in AdamW.
      clip_norm: largest norm of a gradient.
      skip_norm: skip steps with a longer gradient than this, as in train.
      ema_decay: use the exponential average of the parameters, as in train.
      num_at_once: how many runs go side by side on each device; by default one on a
        CPU, of which each core is a device, and all of them elsewhere. Small networks
        are faster with 8.
      num_images: held-out images to score, at most; of the test split if there is one.
      num_particles: posterior samples per image for log p(x).
      save_seconds: time between checkpoints of the whole sweep.
      seed: the first seed, and that of the choice of images held out.
    """
    arguments = dict(locals())
    members = _members(model, seeds, beta, seed)
    for name, least in (
        ("num_at_once", 1),
        ("num_images", 2),
        ("num_particles", 2),
    ):
        if arguments[name] is not None and arguments[name] < least:
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"{flag} must be at least {least}, got {arguments[name]}.")
    one_device_a_core()
    with requests(say) as signalled:
        return _sweep(arguments, members, signalled)


def _members(
    model: Part, seeds: int, beta: tuple[float, ...], seed: int
) -> list[Member]:
    """All runs, those of one beta together.

    Raises:
      UserError: if they cannot all be told apart, or the objective has no beta.
    """
    if seeds < 1:
        raise UserError(f"--seeds must be at least 1, got {seeds}.")
    check_seed(seed)
    check_seed(seed + seeds - 1)
    if len(set(beta)) < len(beta):
        raise UserError(f"--beta must be different numbers, got {list(beta)}.")
    if beta and "beta" not in model.get("objective", {}):
        able = [n for n, f in choices("objective").items() if "beta" in flags(f)]
        raise UserError(
            f"--beta needs vae and an objective with one: {', '.join(able)}."
        )
    betas = beta or (None,)
    return [Member(seed + i, one) for one in betas for i in range(seeds)]


def _sweep(
    arguments: dict[str, Any], members: list[Member], signalled: Callable[[], int]
) -> dict[str, Any]:
    images = vaejax.data.load(
        arguments["dataset"],
        data_dir=arguments["data_dir"],
        validation_fraction=arguments["validation_fraction"],
        validation=arguments["validation"],
        seed=arguments["seed"],
    )
    if images.test is None and len(images.validation.image) < 2:
        raise UserError("a sweep needs two held-out images: see --validation-fraction.")
    of_train = {n: p.default for n, p in inspect.signature(train).parameters.items()}
    shared, recipe, _ = resolve(of_train | arguments, images)
    _check_betas(recipe, members)
    plan = Plan(
        Path(arguments["workdir"]),
        members,
        [_settings(shared, one) for one in members],
        recipe,
        images,
        arguments["num_at_once"],
        arguments["save_seconds"],
    )
    runs = [one.name for one in members]
    own = {"num_seeds": arguments["seeds"], "betas": list(arguments["beta"])}
    whole = shared | {"training": shared["training"] | own, "runs": runs}
    finished = folder.claim(plan.path, whole)
    if finished is not None:
        return finished
    say(f"settings: {json.dumps(whole)}")
    states, notes = _trained(plan, signalled)
    kept = [_kept(plan, i, states, note) for i, note in enumerate(notes["runs"])]
    found = _measured(plan, kept, notes, arguments)
    table = curve.table_of([one.beta for one in members], found)
    lines = [
        {"name": one.name, "seed": one.seed, "beta": one.beta}
        | {"diverged": note["diverged"] or None}
        | (scores or {})
        for one, note, scores in zip(members, notes["runs"], found, strict=True)
    ]
    curve.write(plan.path, table, lines)
    say(curve.markdown(table).rstrip())
    num_steps, seconds = notes["timed"]
    num_images = num_steps * len(members) * arguments["batch_size"]
    result = {
        "num_runs": len(members),
        "step": plan.training["num_steps"],
        "table": [row._asdict() for row in table],
        "images_per_second": num_images / seconds if seconds else None,
        "seconds": notes["seconds"],
        "workdir": arguments["workdir"],
    }
    folder.write_json(plan.path / folder.RESULT, result)
    return result


def _check_betas(recipe: Recipe, members: list[Member]) -> None:
    """Refuses a beta that the objective does not take, before any work.

    Raises:
      UserError: with what the objective said.
    """
    betas = [one.beta for one in members if one.beta is not None]

    def built(beta: jax.Array) -> jax.Array:
        recipe.objective(jnp.int32(0), beta=beta)
        return beta

    for beta in dict.fromkeys(betas):
        try:
            recipe.objective(jnp.int32(0), beta=beta)
            jax.eval_shape(built, jnp.float32(beta))
        except (TypeError, ValueError) as error:
            raise UserError(f"--beta {beta:g}: {error}") from error


def _settings(shared: dict[str, Any], one: Member) -> dict[str, Any]:
    """Those of a run of its own: what `train` writes for this seed and beta."""
    own = copy.deepcopy(shared)
    if one.beta is not None:
        own["model"]["objective"]["beta"] = one.beta
    if one.seed != shared["training"]["seed"]:
        own["training"]["seed"] = one.seed
        own["data"]["seed"] = shared["training"]["seed"]  # all hold out the same
    return own


def _trained(
    plan: Plan, signalled: Callable[[], int]
) -> tuple[vaejax.TrainState, dict[str, Any]]:
    """The last states `[M, ...]`, and what was noted of each run on the way.

    Raises:
      UserError: if a checkpoint cannot be restored.
      InterruptedRunError: if a signal ended it early; it is saved.
    """
    members, num_steps = plan.members, plan.training["num_steps"]
    batch_size = plan.training["batch_size"]
    epoch_steps = len(plan.images.train.image) // batch_size
    warmup_end = vaejax.schedules.warmup_end(plan.recipe.schedule, num_steps)
    compiled = program(
        plan.recipe,
        optimizers.build_optimizer(plan.training),
        batch_size,
        functools.partial(prepare_of(plan.settings[0]), scale=plan.images.scale),
        len(members),
        plan.num_at_once,
    )
    say(f"{len(members)} runs on {compiled.num_devices} devices")
    weights: Weights = {}
    if members[0].beta is not None:
        weights = {"beta": jnp.array([one.beta for one in members], jnp.float32)}
    weights, data = compiled.place(weights), jnp.asarray(plan.images.train.image)
    began = time.perf_counter()
    with vaejax.checkpoint.Checkpoints(plan.path / folder.CHECKPOINTS) as checkpoints:
        try:
            stored, old = checkpoints.restore(_storable(_start(compiled, plan)))
        except ValueError as error:
            raise UserError(str(error)) from error
        notes: dict[str, Any] = {
            "runs": [NEW] * len(members),
            "timed": [0, 0.0],  # steps, and the seconds that they took
            "seconds": 0.0,  # in all restarts
        } | old
        step = int(stored.step)
        same = jnp.full(len(members), step, jnp.int32)
        states = compiled.place(stored._replace(step=same))
        logs = [_log(plan.path / one.name, step) for one in members]
        states, _ = compiled.epoch(states, weights, data, jnp.int32(0))
        pace, spent = math.inf, notes["seconds"]
        saved = time.perf_counter()
        with progress.bar("steps", num_steps) as advance:
            advance(step)
            while step < num_steps:
                done, is_warm = step % epoch_steps, step >= warmup_end
                num = min(SEGMENT, epoch_steps - done, num_steps - step)
                num = num if is_warm else min(num, warmup_end - step)
                num = min(num, FIRST if pace == math.inf else _affordable(pace))
                before = time.perf_counter()
                states, metrics = compiled.epoch(states, weights, data, jnp.int32(num))
                told = jax.device_get(metrics)  # waits
                now = time.perf_counter()
                step, pace = step + num, (now - before) / num
                steps, seconds = notes["timed"]
                notes["timed"] = [steps + num, seconds + now - before]
                for i, one in enumerate(members):
                    own = {name: value[i].tolist() for name, value in told.items()}
                    note = notes["runs"][i] if done else notes["runs"][i] | ANEW
                    note = _noted(note, own, step, is_warm, one.name, logs[i])
                    if step % epoch_steps == 0:
                        note["epoch"] = worth_telling(note["so_far"])
                        about = {"step": step, "epoch": step // epoch_steps}
                        logs[i](folder.finite(about | note["epoch"]))
                    notes["runs"][i] = note
                advance(num, f"mean loss {told['loss'].mean():.2f}")
                stop = signalled()
                due = now - saved >= plan.save_seconds
                if due or stop or step == num_steps:
                    notes["seconds"] = spent + now - began
                    checkpoints.save(_storable(states), notes)
                    saved = now
                if stop and step < num_steps:
                    checkpoints.wait()
                    name = signal.Signals(stop).name
                    raise InterruptedRunError(
                        f"{name} ended the sweep at step {step} of {num_steps}, which "
                        "is saved: repeat the command to go on."
                    )
    return states, notes


def _start(compiled: Program, plan: Plan) -> vaejax.TrainState:
    """The states `[M, ...]` before the first step: those of one seed are the same."""
    seeds = list(dict.fromkeys(one.seed for one in plan.members))
    first = plan.settings[: len(seeds)]  # those of one beta come first
    keys = jax.vmap(lambda seed: root_keys(seed)[0])(jnp.array(seeds, jnp.uint32))
    x = jnp.stack([first_images(own, plan.images) for own in first])
    states = compiled.init(keys, x)
    index = jnp.arange(len(plan.members)) % len(seeds)
    return compiled.place(jax.tree.map(lambda leaf: leaf[index], states))


def _storable(states: vaejax.TrainState) -> vaejax.TrainState:
    """With one step, that of all, which names the checkpoint."""
    return states._replace(step=states.step[0])


def _affordable(pace: float) -> int:
    """How many steps of this many seconds a segment may have."""
    return max(1, int(SEGMENT_SECONDS / pace))


def _log(path: Path, step: int) -> Callable[[dict[str, Any]], None]:
    """Where the metrics of a run go, as under `train`."""
    path.mkdir(exist_ok=True)
    return json_lines(path / folder.METRICS, step)


def _noted(
    note: dict[str, Any],
    told: dict[str, Any],
    step: int,
    is_warm: bool,
    name: str,
    log: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """The notes of a run after a segment; says when it diverges or collapses, once.

    A run that diverges does not end the others, and is left out of the table.
    """
    if note["diverged"]:
        return note
    note, text = dict(note), None
    try:
        check_taken(told, MAX_SKIPPED)
    except UserError as error:
        text = note["diverged"] = str(error)
    else:
        if is_warm:
            note["health"], text = health.after(told, note["health"], step)
    if text is not None:
        log({"step": step, "health": text})
        say(f"{name}: {text.partition('. ')[0]}.")  # what to try is in the log
    so_far = tally.merged(note["so_far"], told, np)
    note["so_far"] = {n: np.asarray(value).tolist() for n, value in so_far.items()}
    return note


def _kept(
    plan: Plan, index: int, states: vaejax.TrainState, note: dict[str, Any]
) -> vaejax.TrainState:
    """One state, written to the folder of its run as `train` would."""
    path, state = plan.path / plan.members[index].name, member(states, index)
    state = jax.device_put(state, jax.devices()[0])
    with vaejax.checkpoint.Checkpoints(path / folder.CHECKPOINTS) as checkpoints:
        if int(state.step) not in checkpoints.steps():
            checkpoints.save(state, {"epoch": note["epoch"]})
    folder.write_json(path / folder.SETTINGS, plan.settings[index])
    return state


def _measured(
    plan: Plan,
    states: list[vaejax.TrainState],
    notes: dict[str, Any],
    arguments: dict[str, Any],
) -> list[dict[str, float | None] | None]:
    """What is known of each run; None of one that diverged."""
    runs = [
        folder.Run(plan.recipe.model, state, own)
        for state, own in zip(states, plan.settings, strict=True)
    ]
    images, found = images_of(runs[0], None, None), []
    with progress.bar("measuring", len(runs)) as advance:
        for run, note in zip(runs, notes["runs"], strict=True):
            own = run._replace(
                state=run.state._replace(params=vaejax.averaged_params(run.state))
            )
            counts = arguments["num_images"], arguments["num_particles"]
            found.append(
                None if note["diverged"] else curve.measured(own, images, *counts)
            )
            advance(1)
    return found
