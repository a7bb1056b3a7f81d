"""Runs the rows, keeps what is done, prints and writes the table."""

import importlib
import json
import os
import random
import shutil
import time
from pathlib import Path
from typing import Any, Literal

from experiments import progress
from experiments.errors import UserError
from experiments.faults import workers
from experiments.faults.row import Row, Verdict, held
from experiments.loop import say
from experiments.workdir import made, write_text

KINDS = (  # modules, in the order of the table
    "kills",
    "signals",
    "damage",
    "disk",
    "saves",
    "malformed",
    "divergence",
    "devices",
    "resumes",
    "soak",
)
DONE = "faults.jsonl"  # a line for each case
HEAD = (
    "| fault | injected | detected | orbax alone | survived | bit-equal | steps lost, "
    "at most | s | held |\n|---|---|---|---|---|---|---|---|---|\n"
)


def rows() -> dict[str, Row]:
    """All rows by name."""
    modules = [importlib.import_module(f"experiments.faults.{kind}") for kind in KINDS]
    return {row.name: row for module in modules for row in module.ROWS}


def faults(
    *,
    kinds: tuple[str, ...] = KINDS,
    length: Literal["full", "quick"] = "full",
    num_workers: int = 2,
    seed: int = 0,
    workdir: str = "runs/faults",
) -> dict[str, Any]:
    """Injects faults into real processes, and tells what became of the runs.

    What is done is kept in faults.jsonl, and a table in faults.md; the same command
    goes on where it was stopped.

    Args:
      kinds: which of the kinds of faults.
      length: full, or quick for a minute's worth of each.
      num_workers: cases at once.
      seed: of the times, places and bits; each case has its own.
      workdir: where the runs and the table are written.

    Raises:
      UserError: if a kind is unknown, or, when all is done, if a row did not hold.
    """
    if unknown := set(kinds) - set(KINDS):
        raise UserError(
            f"--kinds: {', '.join(sorted(unknown))}; expected {', '.join(KINDS)}."
        )
    path = made(workdir).absolute()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    chosen = {
        row.name: row
        for kind in kinds
        for row in importlib.import_module(f"experiments.faults.{kind}").ROWS
        if length == "full" or row.num_quick
    }
    done = _done(path / DONE, seed)
    not_run: dict[str, str] = {}
    for row in chosen.values():
        num = row.num_cases if length == "full" else row.num_quick
        left = [i for i in range(num) if (row.name, i) not in done]
        if left and (why := row.prepare(path / "rows")):
            not_run[row.name] = why
            continue
        _run(row, left, seed, num_workers, path, done)
    lines = [_line(row, done, not_run.get(row.name)) for row in chosen.values()]
    table = HEAD + "".join(lines)
    write_text(path / "faults.md", table)
    say(table)
    broken = [
        row.name
        for row in chosen.values()
        if row.name not in not_run and not held(row, _verdicts(row, done))
    ]
    if broken:
        raise UserError(
            f"{'; '.join(broken)}: this did not hold. What became of each run is in "
            f"{path / DONE}; those that broke are kept in {path / 'rows'}."
        )
    return {"not_run": not_run, "workdir": workdir}


Done = dict[tuple[str, int], tuple[list[Verdict], float]]


def _run(
    row: Row, cases: list[int], seed: int, num_workers: int, path: Path, done: Done
) -> None:
    def finish(arguments: tuple[Any, ...], result: Any, wrong: str) -> None:
        number = arguments[2]
        verdicts, seconds = result or (
            [Verdict(survived=False, note=wrong)],
            row.seconds,
        )
        done[row.name, number] = verdicts, seconds
        record = [row.name, number, seed, [list(v) for v in verdicts], seconds]
        with (path / DONE).open("a") as file:
            file.write(json.dumps(record) + "\n")
        for note in {v.note for v in verdicts if v.note}:
            say(f"{row.name}, case {number}: {note}")
        advance()

    os.environ["JAX_NUM_CPU_DEVICES"] = str(row.num_devices)  # of the workers
    with progress.bar(row.name, len(cases)) as advance:
        calls = [(row.name, str(path), number, seed) for number in cases]
        workers.run(inject, calls, finish, num_workers=num_workers, seconds=row.seconds)


def inject(name: str, path: str, number: int, seed: int) -> tuple[list[Verdict], float]:
    """One case, in a worker."""
    folder = Path(path) / "rows" / f"{name} {number}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    began = time.perf_counter()
    rng = random.Random(f"{seed} {name} {number}")
    verdicts = rows()[name].case(folder, number, rng)
    if not any(verdict.note for verdict in verdicts):
        shutil.rmtree(folder)
    return verdicts, time.perf_counter() - began


def _done(path: Path, seed: int) -> Done:
    lines = path.read_text().splitlines() if path.exists() else []
    done: Done = {}
    for line in lines:
        try:
            name, number, its_seed, verdicts, seconds = json.loads(line)
            if its_seed == seed:
                done[name, number] = [Verdict(*v) for v in verdicts], seconds
        except (TypeError, ValueError):
            continue  # cut short by a kill of this very program
    return done


def _verdicts(row: Row, done: Done) -> list[Verdict]:
    return [v for (name, _), (all, _) in done.items() if name == row.name for v in all]


def _line(row: Row, done: Done, not_run: str | None) -> str:
    if not_run:
        return f"| {row.name} | not run: {not_run} | | | | | | | |\n"
    verdicts = _verdicts(row, done)
    seconds = sum(s for (name, _), (_, s) in done.items() if name == row.name)
    lost = [v.lost for v in verdicts if v.lost is not None]
    cells = [
        row.name,
        str(len(verdicts)),
        _share([v.detected for v in verdicts]),
        _share([v.peer for v in verdicts]),
        _share([v.survived for v in verdicts]),
        _share([v.bit_equal for v in verdicts]),
        str(max(lost)) if lost else "",
        f"{seconds:.0f}",
        "yes" if held(row, verdicts) else "NO",
    ]
    return f"| {' | '.join(cells)} |\n"


def _share(answers: list[bool | None]) -> str:
    known = [answer for answer in answers if answer is not None]
    return f"{sum(known)}/{len(known)}" if known else ""
