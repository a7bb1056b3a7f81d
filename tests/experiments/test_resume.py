"""A run that is killed with SIGKILL again and again ends with the same bits."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

NUM_KILLS = 20
ROOT = Path(__file__).parent.parent.parent


def start(workdir, cache, *flags):
    command = [
        sys.executable, "-m", "experiments", "train", "vae", "--dataset", "digits",
        "--hidden", "64", "--latent-dim", "4", "--num-epochs", "600", "--seed", "3",
        "--workdir", str(workdir), *flags,
    ]  # fmt: skip
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_NUM_CPU_DEVICES": "1",
    }
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def newest(workdir):
    steps = [int(p.name) for p in workdir.glob("checkpoints/*") if p.name.isdigit()]
    return max(steps, default=0)


@pytest.mark.slow
def test_a_run_killed_at_20_random_moments_ends_bit_identical(tmp_path, capsys):
    straight = finish(start(tmp_path / "straight", tmp_path / "cache"))
    reached, rng = [], random.Random(0)
    for kill in range(NUM_KILLS):
        process = start(tmp_path / "run", tmp_path / "cache", "--save-seconds", "0")
        if kill % 4:  # while training and saving; every fourth time, while starting
            before = newest(tmp_path / "run")
            while newest(tmp_path / "run") == before and process.poll() is None:
                time.sleep(0.01)
        time.sleep(rng.uniform(0, 1.5))
        process.send_signal(signal.SIGKILL)
        _, err = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), err
        reached.append(newest(tmp_path / "run"))
    resumed = finish(start(tmp_path / "run", tmp_path / "cache"))
    with capsys.disabled():
        print(f"\nkilled {NUM_KILLS} times, newest checkpoints then: {reached}")
    assert len(set(reached)) > NUM_KILLS // 2
    assert resumed["params_sha256"] == straight["params_sha256"]
    assert resumed["step"] == straight["step"]
    assert resumed["elbo"] == straight["elbo"]
