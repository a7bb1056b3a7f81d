"""Saved on some devices, restored on others, and by fewer processes."""

import itertools
import json
import random
import shutil
import socket
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

import vaejax
from experiments.faults import runs, states
from experiments.faults.row import Row, Verdict
from vaejax.checkpoint import Checkpoints
from vaejax.parallel import shard

PAIRS = list(itertools.product((1, 2, 4, 8), repeat=2))
SPLIT = 64  # from how many elements on an array is split, in every other pair
NUM_STEPS = 50  # that go on from the checkpoint
CLOSE = 1e-5


def _mesh(num_devices: int) -> Mesh:
    return Mesh(np.array(jax.devices()[:num_devices]), ("batch",))


def _losses(state: vaejax.TrainState, mesh: Mesh, split: int | None) -> np.ndarray:
    run = vaejax.parallelize(states.epoch, mesh, "jit", min_shard_size=split)
    data = vaejax.replicate(states.X, mesh)
    losses = []
    for _ in range(NUM_STEPS):
        state, metrics = run(state, data=data, num_steps=np.int32(1))
        losses.append(float(metrics["loss"]))
    return np.array(losses)


def one_pair(folder: Path, number: int, rng: random.Random) -> list[Verdict]:
    """Saves on so many devices, restores on as many others, and goes on."""
    if number == len(PAIRS):
        return _two_processes(folder)
    before, after = (_mesh(num) for num in PAIRS[number])
    split = SPLIT if number % 2 else None
    state = shard(states.train(states.initial(), 3), before, split)
    with Checkpoints(folder / "run") as checkpoints:
        checkpoints.save(state)
    with Checkpoints(folder / "run") as checkpoints:
        target = shard(states.initial(), after, split)
        restored, _ = checkpoints.restore(target)
    placed = jax.tree.map(lambda a, b: a.sharding == b.sharding, restored, target)
    equal = states.equal(states.bits(restored), states.bits(state))
    gap = np.abs(_losses(restored, after, split) / _losses(state, before, split) - 1)
    good = all(jax.tree.leaves(placed)) and float(gap.max()) < CLOSE
    note = "" if good else f"{PAIRS[number]}: losses {gap.max():.1e} apart"
    return [Verdict(survived=good, bit_equal=equal, note=note)]


def _train(workdir: Path, num_processes: int, num_epochs: int) -> dict[str, Any]:
    flags = ["--num-epochs", str(num_epochs), "--parallel", "jit"]
    if num_processes == 2:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            address = f"localhost:{free.getsockname()[1]}"
        flags += ["--coordinator", address, "--num-processes", "2", "--process-id"]
        processes = [
            runs.start(workdir, *flags, str(i), num_devices=2) for i in range(2)
        ]
    else:
        processes = [runs.start(workdir, *flags, num_devices=4)]
    first, *_ = [runs.end(process) for process in processes]  # of all: none is left
    return first[1]


def _log(workdir: Path) -> np.ndarray:
    text = (workdir / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    return np.array([line["loss"] for line in lines if "loss" in line])


def _two_processes(folder: Path) -> list[Verdict]:
    """What two processes saved, one restores with the same bits, and goes on."""
    two, one = folder / "two", folder / "one"
    saved = _train(two, 2, num_epochs=3)
    shutil.copytree(two, one)
    (one / "result.json").unlink()
    equal = _train(one, 1, num_epochs=3)["params_sha256"] == saved["params_sha256"]
    longer = 3 + -(-NUM_STEPS // runs.EPOCH)
    _train(two, 2, num_epochs=longer)
    _train(one, 1, num_epochs=longer)
    gap = np.abs(_log(one) / _log(two) - 1)
    good = len(gap) == longer and float(gap.max()) < CLOSE
    note = "" if good else f"2 processes to 1: losses {gap.max():.1e} apart"
    return [Verdict(survived=good, bit_equal=equal, note=note)]


ROWS = (
    Row(
        "saved on 1, 2, 4, 8 devices, restored on 1, 2, 4, 8; 2 processes to 1",
        f"leaves bit-equal; the next {NUM_STEPS} losses agree to {CLOSE:g}",
        num_cases=len(PAIRS) + 1, num_quick=2, case=one_pair, num_devices=8,
    ),
)  # fmt: skip
