"""The folder of a run: settings, metrics, checkpoints and result.

settings.json    the resolved configuration, written before the first step
metrics.jsonl    a line each epoch, and one where the run's health is at stake
checkpoints/     the newest and the best train states
result.json      what `train` printed, once it has finished
"""

import json
import math
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import vaejax
from experiments import parts
from experiments.errors import UserError
from experiments.models import Recipe
from experiments.optimizer import build_optimizer
from experiments.scoring import root_keys
from vaejax.parallel import gathered

SETTINGS, METRICS = "settings.json", "metrics.jsonl"
CHECKPOINTS, RESULT = "checkpoints", "result.json"
PARTS = ("train", "validation", "test")  # of a dataset
MAX_BYTES = 1_000_000  # of a JSON file; ours have a few thousand
NUM_INIT = 1000  # images, at most, that a model is initialised from


class Run(NamedTuple):
    """What a script needs of a finished or stopped run."""

    model: vaejax.Model
    state: vaejax.TrainState
    settings: dict[str, Any]


def load(workdir: str | Path, *, allow: Collection[str] = ()) -> Run:
    """Gives a script its model back.

    Args:
      workdir: the folder given to `train --workdir`.
      allow: names `package.module:function` of parts from outside the library that the
        settings of the run may have imported; code that a file names is never run
        because the file says so. A verb takes them as the flags that chose them.

    Returns:
      `(model, state, settings)`: the state is the one `train` reported (the best under
      `--patience`), or the newest of a run that has not finished; its parameters are
      the averages under `--ema-decay`.

    Raises:
      UserError: if the folder holds no run, one that cannot be read, or one that names
        code which is not allowed.
    """
    folder = Path(workdir)
    settings = read_settings(folder)
    if isinstance(runs := settings.get("runs"), list) and runs:
        raise UserError(
            f"{folder} holds a sweep of {len(runs)} runs: give the folder of one of "
            f"them, such as {folder / str(runs[0])[:100]}."
        )
    recipe, init, shape = prepared(settings, allow=allow)
    x = jax.ShapeDtypeStruct((NUM_INIT, *shape), jnp.float32)
    try:
        state = jax.eval_shape(init, x)  # nothing is allocated for what does not fit
    except (AssertionError, OverflowError, TypeError, ValueError) as error:
        raise UserError(f"These settings describe no training: {error}") from error
    result = read_json(folder / RESULT) if (folder / RESULT).exists() else {}
    step = result.get("step")
    if step is not None and type(step) is not int:
        raise UserError(f"{folder / RESULT}: expected a whole number as its step.")
    if not newest(folder):
        raise UserError(f"{folder} holds no checkpoint yet: train it first.")
    path = folder / CHECKPOINTS
    with vaejax.checkpoint.Checkpoints(path, read_only=True) as checkpoints:
        try:
            state, _ = checkpoints.restore(state, step)
        except ValueError as error:
            raise UserError(str(error)) from error
    state = state._replace(params=vaejax.averaged_params(state))
    return Run(recipe.model, state, settings)


def newest(folder: Path) -> int:
    """The step of the newest checkpoint of a run, 0 if there is none."""
    names = [p.name for p in folder.glob(f"{CHECKPOINTS}/*") if p.name.isdigit()]
    return max(map(int, names), default=0)


def start(
    settings: dict[str, Any], x: jax.typing.ArrayLike, *, allow: Collection[str] = ()
) -> tuple[Recipe, vaejax.TrainState]:
    """The recipe of a run and its state before the first step.

    Args:
      settings: in the form `train` writes them.
      x: images to initialise from.
      allow: as in `load`.

    Raises:
      UserError: if the settings describe no model, or one that may not be imported.
    """
    recipe, init, _ = prepared(settings, allow=allow)
    return recipe, init(x)


Init = Callable[[jax.typing.ArrayLike], vaejax.TrainState]


def prepared(
    settings: dict[str, Any], *, allow: Collection[str] = ()
) -> tuple[Recipe, Init, tuple[int, ...]]:
    """The recipe of a run, its state as a function of images, and the shape of one.

    Raises:
      UserError: if the settings describe no model, or one that may not be imported.
    """
    recipe, shape = recipe_of(settings, allow=allow)
    try:
        optimizer = build_optimizer(settings["training"])
        key, *_ = root_keys(settings["training"]["seed"])
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"These settings describe no training: {error}") from error
    objective = recipe.objective(jnp.int32(0))

    def init(x: jax.typing.ArrayLike) -> vaejax.TrainState:
        return vaejax.init_state(key, recipe.model, objective, optimizer, x)

    return recipe, init, shape


def recipe_of(
    settings: dict[str, Any], *, allow: Collection[str] = ()
) -> tuple[Recipe, tuple[int, ...]]:
    """What a run trains, and the shape of one image.

    Raises:
      UserError: if the settings describe no model, or one that may not be imported.
    """
    try:
        shape = tuple(int(size) for size in settings["data"]["event_shape"])
        return parts.build("model", settings["model"], allow)(shape), shape
    except UserError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"These settings describe no model: {error}") from error


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings of a run, in the form `train` writes them.

    Raises:
      UserError: if there are none, or they are of another form.
    """
    if not (folder / SETTINGS).is_file():
        raise UserError(
            f"{folder} holds no run: expected {SETTINGS} there, as written by "
            "`python -m experiments train vae --workdir ...`."
        )
    settings = read_json(folder / SETTINGS)
    for name in ("model", "data", "training"):
        if not isinstance(settings.get(name), dict):
            raise UserError(f"{folder / SETTINGS}: expected an object {name!r}.")
    return settings


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of at most a megabyte.

    Raises:
      UserError: if the file is larger, or no JSON object.
    """
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise UserError(f"{path}: expected a file of at most {MAX_BYTES} bytes.")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: expected a JSON object: {error}.") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object, got {type(value).__name__}.")
    return value


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Writes a JSON object, with null for numbers that JSON does not have."""
    write_text(path, json.dumps(finite(value), indent=2, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """The same JSON value, null for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_text(path: Path, text: str) -> None:
    """Writes a file that is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:  # a failing write does not tell its file
        raise OSError(error.errno, error.strerror, str(path)) from error


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Where two JSON values differ, a line for each leaf."""
    if isinstance(old, dict) and isinstance(new, dict):
        lines: list[str] = []
        for name in sorted(old.keys() | new.keys()):
            inner = f"{path}.{name}" if path else name
            lines += differences(old.get(name), new.get(name), inner)
        return lines
    return [] if old == new else [f"{path}: {old!r} there, {new!r} here"]


def claim(path: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    """Takes a folder for a run, or continues the one in it.

    Of several processes the first does it, and the others learn how it ended.

    Returns:
      The result of the run, if it is the same and has finished.

    Raises:
      UserError: if the folder holds a run that this would not continue.
    """
    finished, refusal = None, None
    if jax.process_index() == 0:
        try:
            finished = _claim(path, settings)
        except UserError as error:
            refusal = error
    was_refused, has_finished = gathered([bool(refusal), bool(finished)])[0]
    if was_refused:
        raise refusal or UserError(f"process 0 refused --workdir {path}; it says why.")
    return read_json(path / RESULT) if has_finished else None


def _claim(path: Path, settings: dict[str, Any]) -> dict[str, Any] | None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--workdir {path}: {error.strerror}.") from error
    half_written = list(path.glob(f".{SETTINGS}.*"))  # by a run killed as it began
    if newest(path):
        old = read_settings(path)
        lines = differences(_essence(old), _essence(settings))
        before, now = old["training"].get("num_epochs"), settings["training"]
        grown = before != now["num_epochs"]
        constant = now["learning_rate_schedule"] == "constant"
        if not isinstance(before, int) or (
            grown and not (constant and before < now["num_epochs"])
        ):
            lines.append(
                f"num_epochs: {before} there, {now['num_epochs']} here; it may grow, "
                "unless the learning rate follows a schedule"
            )
        if lines:
            listed = "".join(f"\n  {line}" for line in lines)
            raise UserError(
                f"{path} holds a run with other settings or data:{listed}\n"
                "Repeat its settings to continue it, or use another --workdir."
            )
        if not grown and (path / RESULT).exists():
            return read_json(path / RESULT)
    elif not (path / SETTINGS).exists() and set(path.iterdir()) - set(half_written):
        raise UserError(
            f"{path} is not empty and holds no run ({SETTINGS} is missing): use "
            "another --workdir."
        )
    for leftover in (path / RESULT, *half_written):
        leftover.unlink(missing_ok=True)
    write_json(path / SETTINGS, settings)
    return None


def _essence(settings: dict[str, Any]) -> dict[str, Any]:
    """What must not differ: all but the length and where the data lies."""
    free = {"num_epochs", "num_steps", "dataset", "data_dir", "validation"}
    return {
        group: {n: v for n, v in settings[group].items() if n not in free}
        for group in ("model", "data", "training")
    }


def made(folder: str, flag: str = "--workdir") -> Path:
    """The folder for what a verb writes, there before any work; `flag` named it.

    Raises:
      UserError: if it cannot be made.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{flag} {folder}: {error.strerror}.") from error
    return path
