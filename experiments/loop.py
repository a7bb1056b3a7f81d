"""The one loop: segments of compiled steps; everything else happens between them."""

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax

import vaejax
from experiments import progress
from experiments.errors import UserError
from experiments.workdir import write_text

Epoch = Callable[..., tuple[vaejax.TrainState, dict[str, jax.Array]]]
SEGMENT = 500  # steps at most between two looks at the clock
FIRST = 10  # steps of the first segment under a limit of time, whose pace is not known
NEW: dict[str, Any] = {  # notes of a run that has taken no step
    "sums": {},
    "best": None,
    "waited": 0,
    "timed": [0, 0.0],
    "spent": [0.0, 0.0],
}


class Plan(NamedTuple):
    """How long to train, and what to do on the way."""

    num_steps: int
    epoch_steps: int
    patience: int | None  # epochs without a better score before stopping
    save_seconds: float  # between checkpoints
    max_cpu_seconds: float = math.inf  # of the process, over all restarts


class Outcome(NamedTuple):
    """The state to report, and what was measured on the way."""

    state: vaejax.TrainState
    notes: dict[str, Any]  # what a resumed run must know besides the state
    step: int  # how many steps were taken
    seconds: float  # that passed in all restarts, compilation and scores included
    cpu_seconds: float  # of all threads of the process in them
    steps_per_second: float | None  # steady: without compilation, scores and saves
    compile_seconds: float


def fit(
    epoch: Epoch,
    state: vaejax.TrainState,
    data: Any,
    plan: Plan,
    checkpoints: vaejax.checkpoint.Checkpoints,
    score: Callable[[vaejax.TrainState], dict[str, Any]],
    log: Callable[[dict[str, Any]], None],
) -> Outcome:
    """Trains from the newest checkpoint to the end of the plan.

    Args:
      epoch: compiled `(state, *, data, num_steps) -> (state, metrics)`.
      state: at step 0; its checkpoints, if there are any, take its place.
      data: what `epoch` reads.
      plan: how long.
      checkpoints: where states are kept; the best by their note `score`.
      score: what to know of a state at the end of each epoch; the largest `score` is
        the best, if it has one.
      log: receives the metrics of each epoch.
    """
    try:
        state, notes = checkpoints.restore(state)
    except ValueError as error:
        raise UserError(str(error)) from error
    notes = NEW | (notes or {})
    spent, pace = _stopwatch(notes["spent"]), math.inf
    began = time.perf_counter()
    state, _ = jax.block_until_ready(epoch(state, data=data, num_steps=0))
    compile_seconds = time.perf_counter() - began
    step, saved = int(state.step), time.perf_counter()
    first = step
    with progress.bar("steps", plan.num_steps) as advance:
        advance(step)
        while step < plan.num_steps and not (
            _out_of_patience(notes, plan) or _out_of_time(notes, plan)
        ):
            done = step % plan.epoch_steps
            num = min(SEGMENT, plan.epoch_steps - done, plan.num_steps - step)
            num = _affordable(num, plan.max_cpu_seconds - spent()[1], pace)
            began, before = time.perf_counter(), time.process_time()
            state, metrics = epoch(state, data=data, num_steps=num)
            means = {name: float(value) for name, value in metrics.items()}  # waits
            seconds = time.perf_counter() - began
            pace = (time.process_time() - before) / num
            step += num
            check_finite(step, means)
            notes["timed"] = [notes["timed"][0] + num, notes["timed"][1] + seconds]
            sums, notes["score"] = notes["sums"] if done else {}, None
            notes["sums"] = {n: sums.get(n, 0.0) + num * means[n] for n in means}
            notes["spent"], better = spent(), False
            if step % plan.epoch_steps == 0 or _out_of_time(notes, plan):
                better = _end_of_epoch(state, step, plan, notes, score, log)
                notes["spent"] = spent()
            advance(num, f"loss {means['loss']:.2f}")
            due = time.perf_counter() - saved >= plan.save_seconds
            if due or step == plan.num_steps or (better and plan.patience is not None):
                checkpoints.save(state, notes)
                saved = time.perf_counter()
    if step > first and step not in checkpoints.steps():  # out of patience or time
        checkpoints.save(state, notes)
    checkpoints.wait()
    if plan.patience is not None:
        state, _ = checkpoints.restore(state, checkpoints.best_step())
    num_timed, seconds = notes["timed"]
    rate = num_timed / seconds if num_timed else None
    total, cpu = spent()
    return Outcome(state, notes, step, total, cpu, rate, compile_seconds)


def _end_of_epoch(
    state: vaejax.TrainState,
    step: int,
    plan: Plan,
    notes: dict[str, Any],
    score: Callable[[vaejax.TrainState], dict[str, Any]],
    log: Callable[[dict[str, Any]], None],
) -> bool:
    """Scores and logs; returns whether this is the best state so far."""
    num_steps = step % plan.epoch_steps or plan.epoch_steps  # fewer where time ran out
    means = {name: total / num_steps for name, total in notes["sums"].items()}
    scores = score(state)
    check_finite(step, scores)
    notes["epoch"], notes["score"] = means, scores.get("score")
    epoch = math.ceil(step / plan.epoch_steps)
    log({"step": step, "epoch": epoch} | means | scores)
    new, best = notes["score"], notes["best"]
    if new is None or (best is not None and new <= best):
        notes["waited"] += 1
        return False
    notes.update(best=new, waited=0)
    return True


def check_finite(step: int, values: dict[str, Any]) -> None:
    """Stops a run that has diverged, before anything of it is kept.

    Raises:
      UserError: if a value is NaN or infinite; the message names it.
    """
    for name, value in values.items():
        if value is not None and not math.isfinite(value):
            raise UserError(
                f"the {name} is {value} by step {step}: lower --learning-rate, or clip "
                "the gradient. What was saved before is as it was."
            )


def _affordable(num_steps: int, seconds: float, pace: float) -> int:
    """How many of these steps fit into the CPU seconds left, one at least."""
    if math.isinf(seconds):
        return num_steps
    affordable = FIRST if math.isinf(pace) else int(seconds / pace)
    return max(1, min(num_steps, affordable))


def _stopwatch(before: list[float]) -> Callable[[], list[float]]:
    """Tells the seconds and CPU seconds since now, added to those before."""
    began = time.perf_counter(), time.process_time()

    def spent() -> list[float]:
        now = time.perf_counter(), time.process_time()
        return [b + n - s for b, n, s in zip(before, now, began, strict=True)]

    return spent


def _out_of_patience(notes: dict[str, Any], plan: Plan) -> bool:
    return plan.patience is not None and notes["waited"] >= plan.patience


def _out_of_time(notes: dict[str, Any], plan: Plan) -> bool:
    """By what the run has spent: a new one, which has spent nothing, never is."""
    return notes["spent"][1] >= plan.max_cpu_seconds


def json_lines(path: Path, step: int) -> Callable[[dict[str, Any]], None]:
    """A log of one JSON object a line, kept up to a step and continued after it."""
    lines = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in lines if _step(line) <= step]
    write_text(path, "".join(line + "\n" for line in kept))

    def log(metrics: dict[str, Any]) -> None:
        with path.open("a") as file:
            file.write(json.dumps(metrics, allow_nan=False) + "\n")

    return log


def _step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf  # a line that a kill cut short


def tensorboard(
    folder: Path, step: int, log: Callable[[dict[str, Any]], None]
) -> Callable[[dict[str, Any]], None]:
    """The same log, written for TensorBoard too where tensorboardX is installed."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return log
    writer = SummaryWriter(str(folder), purge_step=step + 1)

    def both(metrics: dict[str, Any]) -> None:
        log(metrics)
        for name, value in metrics.items():
            if isinstance(value, int | float):
                writer.add_scalar(name, value, metrics["step"])
        writer.flush()

    return both


def say(text: str) -> None:
    """A line for the user, on stderr."""
    print(text, file=sys.stderr, flush=True)
