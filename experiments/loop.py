"""The one loop: segments of compiled steps; everything else happens between them."""

import contextlib
import json
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import vaejax
from experiments import health, progress
from experiments.errors import UserError
from experiments.interruption import InterruptedRunError
from experiments.workdir import finite, write_text
from vaejax import tally
from vaejax.parallel import gathered, local

Epoch = Callable[..., tuple[vaejax.TrainState, dict[str, jax.Array]]]
SEGMENT = 500  # steps at most between two looks at the clock and at signals
SEGMENT_SECONDS = 10.0  # about the most that one lasts
FIRST = 10  # steps of the first one, whose pace is not known
MAX_SKIPPED = 20  # steps in a row that were not finite, before a run is given up
NEW: dict[str, Any] = {  # notes of a run that has taken no step
    "so_far": {},  # in this epoch
    "best": None,
    "waited": 0,
    "timed": [0, 0.0],
    "spent": [0.0, 0.0],
    "health": health.NEW,
}


class Plan(NamedTuple):
    """How long to train, and what to do on the way."""

    num_steps: int
    epoch_steps: int
    patience: int | None  # epochs without a better score before stopping
    save_seconds: float  # between checkpoints
    max_cpu_seconds: float = math.inf  # of the process, over all restarts
    max_seconds: float = math.inf  # in this process; then the run is interrupted
    max_skipped: int = MAX_SKIPPED  # steps in a row that were not finite
    warmup_end: int = 0  # the step before which no posterior is told to have collapsed


class Now(NamedTuple):
    """The clocks of process 0 since it began to train, and the signal any has seen."""

    seconds: float
    cpu_seconds: float
    signal: int  # 0 if none


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
    signalled: Callable[[], int] = lambda: 0,
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
      log: receives the metrics of each epoch, and at once what is said of the health.
      signalled: the number of a signal that asks for an end, 0 while there is none.

    With `jax.distributed` all processes call it; what depends on a clock or on a signal
    is decided for all of them between two segments.

    Raises:
      UserError: if it diverges, or a checkpoint cannot be restored.
      InterruptedRunError: if a signal or `max_seconds` ended it early; it is saved.
    """
    try:
        state, notes = checkpoints.restore(state)
    except ValueError as error:
        raise UserError(str(error)) from error
    notes = NEW | (notes or {})
    look = _clock(signalled)
    spent = notes["spent"]  # seconds and CPU seconds of the processes before this one
    began = look()
    state, _ = jax.block_until_ready(epoch(state, data=data, num_steps=0))
    now = compiled = saved = look()
    step, pace, reason = int(state.step), None, _interruption(now, plan)
    kept = step
    with progress.bar("steps", plan.num_steps) as advance:
        advance(step)
        while step < plan.num_steps and not (
            reason or _out_of_patience(notes, plan) or _out_of_time(notes, plan)
        ):
            done = step % plan.epoch_steps
            num = min(SEGMENT, plan.epoch_steps - done, plan.num_steps - step)
            warm = step >= plan.warmup_end
            num = num if warm else min(num, plan.warmup_end - step)
            num = _affordable(num, pace, now, notes["spent"][1], plan)
            before = look()
            state, metrics = epoch(state, data=data, num_steps=num)
            told: dict[str, Any] = {n: m.tolist() for n, m in metrics.items()}  # waits
            now, step = look(), step + num
            seconds = now.seconds - before.seconds
            pace = seconds / num, (now.cpu_seconds - before.cpu_seconds) / num
            with _logged(log, step):
                check_taken(told, plan.max_skipped)
            if warm:
                notes["health"], text = health.after(told, notes["health"], step)
                _tell(text, log, step)
            notes["timed"] = [notes["timed"][0] + num, notes["timed"][1] + seconds]
            so_far = tally.merged(notes["so_far"] if done else {}, told, np)
            notes["so_far"] = {n: np.asarray(v).tolist() for n, v in so_far.items()}
            notes["score"] = None
            notes["spent"], better = _added(spent, now), False
            if step % plan.epoch_steps == 0 or _out_of_time(notes, plan):
                better = _end_of_epoch(state, step, plan, notes, score, log)
                now = look()
                notes["spent"] = _added(spent, now)
            advance(num, f"loss {told['loss']:.2f}")
            reason = _interruption(now, plan)
            due = now.seconds - saved.seconds >= plan.save_seconds
            due = due and not int(state.skipped)  # what may be beyond help can wait
            if (
                due
                or reason
                or step == plan.num_steps
                or (better and plan.patience is not None)
            ):
                checkpoints.save(state, notes)
                saved, kept = now, step
    if step > kept:  # out of patience or time
        checkpoints.save(state, notes)
    checkpoints.wait()
    if reason and step < plan.num_steps and not _out_of_patience(notes, plan):
        raise InterruptedRunError(
            f"{reason} ended the run at step {step} of {plan.num_steps}"
            f"{', which is saved' if step else ''}: repeat the command to go on."
        )
    if plan.patience is not None:
        state, _ = checkpoints.restore(state, checkpoints.best_step())
    num_timed, seconds = notes["timed"]
    rate = num_timed / seconds if num_timed else None
    total, cpu = _added(spent, look())
    compile_seconds = compiled.seconds - began.seconds
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
    means = worth_telling(notes["so_far"])
    scores = score(local(state))
    with _logged(log, step):
        check_finite(step, scores)
    in_row = int(state.skipped)  # such a state is not a candidate for the best
    notes["epoch"], notes["score"] = means, None if in_row else scores.get("score")
    epoch = math.ceil(step / plan.epoch_steps)
    log(finite({"step": step, "epoch": epoch} | means | scores))
    new, best = notes["score"], notes["best"]
    if new is None or (best is not None and new <= best):
        notes["waited"] += 1
        return False
    notes.update(best=new, waited=0)
    return True


def worth_telling(told: dict[str, Any]) -> dict[str, Any]:
    """Means, the number of steps skipped, and what was not finite if anything was."""
    silent = {"taken", *tally.LONGEST, *tally.ROWS}
    return {
        name: value
        for name, value in told.items()
        if name not in silent and (value or not name.startswith(tally.NONFINITE))
    }


def _tell(text: str | None, log: Callable[[dict[str, Any]], None], step: int) -> None:
    """Says how the run is, if there is anything to say, once; and logs it."""
    if text is not None:
        log({"step": step, "health": text})
        if jax.process_index() == 0:
            say(text)


@contextlib.contextmanager
def _logged(log: Callable[[dict[str, Any]], None], step: int) -> Iterator[None]:
    """Logs in words what ends a run that has diverged."""
    try:
        yield
    except UserError as error:
        log({"step": step, "health": str(error)})
        raise


def check_taken(told: dict[str, Any], max_skipped: int) -> None:
    """Stops a run whose steps are not finite, one after the other.

    Args:
      told: of a segment, as `train_epoch` returns it.
      max_skipped: how many in a row are too many.

    Raises:
      UserError: naming the last of these steps, and the terms, sums of others last.
    """
    if told["skipped_in_a_row"] < max_skipped:
        return
    terms = [n for n in told if n.startswith(tally.NONFINITE) and told[n]]
    names = [name.removeprefix(tally.NONFINITE) for name in terms]
    named = ", ".join(sorted(names, key=("loss", "gradient_norm").count))
    raise UserError(
        f"{told['skipped_in_a_row']} steps in a row up to step {told['last_in_row']} "
        f"were not taken: not finite were {named}. Lower --learning-rate, clip the "
        "gradient with --clip-norm, or look at the data. What was saved before is as "
        "it was."
    )


def check_finite(step: int, values: dict[str, Any]) -> None:
    """Stops a run whose scores tell that it has diverged, before they are kept.

    Raises:
      UserError: if a value is NaN or infinite; the message names it.
    """
    for name, value in values.items():
        if value is not None and not math.isfinite(value):
            raise UserError(
                f"the {name} is {value} by step {step}: lower --learning-rate, or clip "
                "the gradient. What was saved before is as it was."
            )


def _affordable(
    num_steps: int,
    pace: tuple[float, float] | None,
    now: Now,
    cpu_spent: float,
    plan: Plan,
) -> int:
    """How many of these steps fit into the time left to a segment, one at least.

    Args:
      num_steps: how many are wanted.
      pace: seconds and CPU seconds of one step, if known.
      now: how late it is.
      cpu_spent: CPU seconds of the run.
      plan: its limits.
    """
    if pace is None:
        return min(num_steps, FIRST)
    seconds = min(SEGMENT_SECONDS, plan.max_seconds - now.seconds)
    limits = seconds / pace[0], (plan.max_cpu_seconds - cpu_spent) / pace[1]
    return max(1, int(min(num_steps, *limits)))


def _clock(signalled: Callable[[], int]) -> Callable[[], Now]:
    """Tells what all processes agree on, from now on; all of them must ask."""
    began = time.perf_counter(), time.process_time()

    def look() -> Now:
        seconds, cpu_seconds = time.perf_counter(), time.process_time()
        own = seconds - began[0], cpu_seconds - began[1], signalled()
        everyone = gathered(own)
        return Now(
            float(everyone[0, 0]), float(everyone[0, 1]), int(everyone[:, 2].max())
        )

    return look


def _added(before: list[float], now: Now) -> list[float]:
    return [before[0] + now.seconds, before[1] + now.cpu_seconds]


def _interruption(now: Now, plan: Plan) -> str | None:
    """Why to stop here, if at all."""
    if now.signal:
        return signal.Signals(now.signal).name
    return "--max-seconds" if now.seconds >= plan.max_seconds else None


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
        try:
            with path.open("a") as file:
                file.write(json.dumps(metrics, allow_nan=False) + "\n")
        except OSError as error:  # a failing write does not tell its file
            raise OSError(error.errno, error.strerror, str(path)) from error

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
