"""The small training run that is killed, and how to start it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vaejax import manifest

EPOCH = 9  # steps, after each of which it saves
NUM_EPOCHS = 40
COMMAND = (
    "train", "vae", "--dataset", "digits", "--hidden", "32", "--latent-dim", "2",
    "--num-epochs", str(NUM_EPOCHS), "--save-seconds", "0",
)  # fmt: skip
STRAIGHT = "straight"  # the folder of the run that nothing happens to


def start(
    workdir: Path,
    *flags: str,
    kill: str = "",
    nth: int = 1,
    num_devices: int = 1,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.Popen[str]:
    """Starts the run, or goes on with it.

    Args:
      workdir: its folder; programs are kept in `cache` beside the rows.
      flags: besides those that make it small.
      kill: a name in `child.POINTS` where it kills itself.
      nth: which time it comes there.
      num_devices: simulated.
      environment: more variables.
    """
    variables = os.environ | {
        "JAX_NUM_CPU_DEVICES": str(num_devices),
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(workdir.parents[1] / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [sys.executable, "-m", "experiments.faults.child", f"{kill}:{nth}"]
    return subprocess.Popen(
        [*command, *COMMAND, "--workdir", str(workdir), *flags],
        env=variables | dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any], str]:
    """Waits; the exit code, the result if there is one, and what was said."""
    try:
        out, err = process.communicate(timeout=100)
    finally:
        process.kill()
    result = json.loads(out.splitlines()[-1]) if process.returncode == 0 else {}
    return process.returncode, result, err


def straight(folder: Path) -> str | None:
    """Trains the run that nothing happens to, once, for all rows to compare with."""
    code, _, err = end(start(folder.parent / "runs" / STRAIGHT))
    return None if code == 0 else f"a run without faults fails: {err[-300:]}"


def expected(folder: Path) -> str:
    """The hash of the parameters in which the run must end."""
    path = folder.parents[1] / "runs" / STRAIGHT / "result.json"
    return str(json.loads(path.read_text())["params_sha256"])


def reached(workdir: Path) -> int:
    """The last step that the log tells of."""
    log = workdir / "metrics.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    steps = [json.loads(line)["step"] for line in lines if line.endswith("}")]
    return max(steps, default=0)


def newest_good(workdir: Path) -> int:
    """The newest step whose files are as they were written, 0 if there is none."""
    found = (p for p in workdir.glob("checkpoints/*") if p.name.isdigit())
    return max((int(p.name) for p in found if not manifest.damage(p)), default=0)
