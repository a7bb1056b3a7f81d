"""Processes that take turns: the same cores, threads and clock for all."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from experiments.peers.worker import Answer

T = TypeVar("T")
Run = Callable[[], Answer]
ROOT = Path(__file__).parents[2]


def num_cores() -> int:
    """How many cores this process, and so every contender, may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def environment() -> dict[str, str]:
    """What every process gets: this checkout, the CPU, as many threads as cores."""
    threads = str(num_cores())
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return os.environ | {
        "PYTHONPATH": path,
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": "1",
        "JAX_ENABLE_COMPILATION_CACHE": "0",
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
    }


@contextlib.contextmanager
def contender(program: str, images: Path, seed: int) -> Iterator[Run]:
    """Starts a program of `experiments/peers` and ends it when left."""
    program = f"experiments.peers.{program}"
    command = [sys.executable, "-m", program, str(images), str(seed)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
    ) as process:

        def run() -> Answer:
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(b"\n")
                process.stdin.flush()
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"{program} ended; its own error is above.")
            return Answer(*json.loads(line))

        try:
            yield run
        finally:
            process.kill()  # between two runs it holds nothing worth saving


def python_seconds(code: str) -> float:
    """How long a new interpreter takes for `code`."""
    start = time.perf_counter()
    command = [sys.executable, "-c", code]
    subprocess.run(command, cwd=ROOT, env=environment(), check=True)
    return time.perf_counter() - start


def interleaved(
    runs: dict[str, Callable[[], T]], num_rounds: int
) -> dict[str, list[T]]:
    """Calls every run once a round, each round beginning with another one."""
    results: dict[str, list[T]] = {name: [] for name in runs}
    names = list(runs)
    for i in range(num_rounds):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            results[name].append(runs[name]())
    return results


def say(line: str) -> None:
    """Progress, on stderr: stdout is for the table and the JSON."""
    print(f"benchmark: {line}", file=sys.stderr, flush=True)
