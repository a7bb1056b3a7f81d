"""SIGKILL at named points of a save and at random times; the run goes on each time."""

import random
import signal
import time
from pathlib import Path

from experiments.faults import runs
from experiments.faults.child import POINTS
from experiments.faults.row import Row, Verdict

PER_CASE = 5  # kills of one run, before it is let finish
IN_FLIGHT = (
    2 * runs.EPOCH
)  # one save interval, and the one whose save was being written


def at_points(folder: Path, number: int, rng: random.Random) -> list[Verdict]:
    """One run, killed five times at the same point of different saves."""
    point = POINTS[number % len(POINTS)]
    return _chain(folder, [(point, rng.randint(1, 3)) for _ in range(PER_CASE)], rng)


def at_random(folder: Path, number: int, rng: random.Random) -> list[Verdict]:
    """One run, killed five times whenever it comes, while it starts or trains."""
    return _chain(folder, [("", 1)] * PER_CASE, rng)


def _chain(
    folder: Path, kills: list[tuple[str, int]], rng: random.Random
) -> list[Verdict]:
    workdir, verdicts = folder / "run", []
    for point, nth in kills:
        before = runs.newest_good(workdir)
        process = runs.start(workdir, kill=point, nth=nth)
        if not point:
            while runs.reached(workdir) <= before and process.poll() is None:
                time.sleep(0.02)
            time.sleep(rng.uniform(0, 0.6))
            process.kill()
        code, _, err = runs.end(process)
        if code == 0:
            break  # it was done before the kill came
        lost = max(0, runs.reached(workdir) - runs.newest_good(workdir))
        note = "" if code == -signal.SIGKILL else err[-500:]
        verdicts.append(Verdict(survived=not note, lost=lost, note=note))
    code, result, err = runs.end(runs.start(workdir))
    equal = result.get("params_sha256") == runs.expected(folder)
    note = "" if code == 0 else err[-500:]
    return [
        v._replace(
            survived=v.survived and code == 0, bit_equal=equal, note=v.note or note
        )
        for v in verdicts
    ]


ROWS = (
    Row(
        "SIGKILL at 7 points of a save",
        "all restart; at most the save interval and the save in flight are lost; the "
        "end is bit-equal",
        num_cases=7, num_quick=1, case=at_points, prepare=runs.straight,
        max_lost=IN_FLIGHT,
    ),
    Row(
        "SIGKILL at random times",
        "as above",
        num_cases=13, num_quick=1, case=at_random, prepare=runs.straight,
        max_lost=IN_FLIGHT,
    ),
)  # fmt: skip
