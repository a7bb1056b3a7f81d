"""SIGTERM and SIGINT, to one process or to one of two: nothing is lost."""

import random
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from experiments.faults import runs
from experiments.faults.row import Row, Verdict
from experiments.interruption import EXIT_CODE

NUMBERS = (signal.SIGTERM, signal.SIGINT)
LONG = ("--num-epochs", "100000", "--save-seconds", "1000")  # it saves when asked to


def _start(workdir: Path, num_processes: int) -> list[subprocess.Popen[str]]:
    if num_processes == 1:
        return [runs.start(workdir, *LONG)]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    shared = ("--parallel", "jit", "--coordinator", address, "--num-processes", "2")
    return [
        runs.start(workdir, *LONG, *shared, "--process-id", str(i), num_devices=2)
        for i in range(2)
    ]


def one_signal(folder: Path, number: int, rng: random.Random) -> list[Verdict]:
    """Stops a run by a signal to one of its processes, and looks at what is saved."""
    which, workdir = NUMBERS[number % 2], folder / "run"
    processes = _start(workdir, 1 + number % 3 // 2)
    while runs.reached(workdir) == 0 and processes[0].poll() is None:
        time.sleep(0.02)
    time.sleep(rng.uniform(0, 1))
    rng.choice(processes).send_signal(which)
    ends = [runs.end(process) for process in processes]
    codes, said = [code for code, _, _ in ends], [err for _, _, err in ends]
    told = [re.search(r"(SIG\w+) ended the run at step (\d+)", text) for text in said]
    saved = runs.newest_good(workdir)
    detected = all(m is not None and m[1] == which.name for m in told)
    steps = [int(m[2]) for m in told if m]
    survived = set(codes) == {EXIT_CODE} and set(steps) == {saved}
    note = "" if detected and survived else f"{codes}: {said[0][-500:]}"
    lost = max([runs.reached(workdir), *steps]) - saved
    return [Verdict(detected=detected, survived=survived, lost=lost, note=note)]


ROWS = (
    Row(
        "SIGTERM, SIGINT; 1 and 2 processes",
        "exit code 75, all processes at the same step, which is saved",
        num_cases=30, num_quick=2, case=one_signal, max_lost=0,
    ),
)  # fmt: skip
