"""A signal or a limit of time ends a run in good order, in one process or in two."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SMALL = (
    "train", "vae", "--dataset", "digits", "--hidden", "16", "--latent-dim", "2",
    "--batch-size", "128", "--save-seconds", "1000",
)  # fmt: skip


def start(workdir, *flags, devices=1):
    environment = os.environ | {
        "JAX_NUM_CPU_DEVICES": str(devices),
        "JAX_COMPILATION_CACHE_DIR": str(workdir.parent / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [sys.executable, "-m", "experiments", *SMALL, "--workdir", str(workdir)]
    return subprocess.Popen(
        [*command, *flags], cwd=ROOT, env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def together(workdir, *flags):
    """Two processes of two devices each that train one model."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    return [
        start(
            workdir, "--parallel", "jit", "--coordinator", address,
            "--num-processes", "2", "--process-id", str(i), *flags, devices=2,
        )
        for i in range(2)
    ]  # fmt: skip


def wait_for(workdir, lines):
    """Until so many epochs are in the log, which is written between segments."""
    log = workdir / "metrics.jsonl"
    while not log.exists() or len(log.read_text().splitlines()) < lines:
        time.sleep(0.05)


def end(process):
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def saved(workdir):
    return sorted(int(p.name) for p in workdir.glob("checkpoints/[0-9]*"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_where_it_came_and_the_run_ends_bit_equal(tmp_path, number):
    straight = start(tmp_path / "straight", "--num-epochs", "300")
    code, out, err = end(straight)
    assert code == 0, err
    expected = json.loads(out.splitlines()[-1])["params_sha256"]

    process = start(tmp_path / "run", "--num-epochs", "300")
    wait_for(tmp_path / "run", 5)
    process.send_signal(number)
    code, _, err = end(process)
    assert code == 75, err
    (step,) = saved(tmp_path / "run")
    assert f"stopped: {number.name} ended the run at step {step} of 2700" in err
    assert step >= 5 * 9
    code, out, err = end(start(tmp_path / "run", "--num-epochs", "300"))
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["params_sha256"] == expected


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_one_of_two_processes_stops_both_at_the_same_step(tmp_path, number):
    processes = together(tmp_path / "run", "--num-epochs", "100000")
    wait_for(tmp_path / "run", 2)
    processes[1].send_signal(number)
    ends = [end(process) for process in processes]
    assert [code for code, _, _ in ends] == [75, 75], ends
    (step,) = saved(tmp_path / "run")
    for _, _, err in ends:
        assert f"{number.name} ended the run at step {step} of" in err
    # What two processes have saved, one can read, and go on with.
    flags = ("--num-epochs", "100000", "--max-seconds", "0.01")
    code, _, err = end(start(tmp_path / "run", *flags))
    assert code == 75, err
    assert f"--max-seconds ended the run at step {step}" in err


@pytest.mark.slow
def test_a_second_signal_quits_at_once(tmp_path):
    process = start(tmp_path / "run", "--num-epochs", "100000", "--binarize", "none",
                    "--hidden", "4000", "--hidden", "4000")  # fmt: skip
    for line in process.stderr:
        if line.startswith("settings:"):
            break
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    assert "a second one quits at once" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    assert time.monotonic() - began < 1


@pytest.mark.slow
def test_a_run_that_ends_by_itself_under_max_seconds_is_whole(tmp_path):
    code, out, err = end(
        start(tmp_path / "run", "--num-epochs", "2", "--max-seconds", "1000")
    )
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["step"] == 18
