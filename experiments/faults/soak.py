"""Many steps of a small model: nothing grows."""

import os
import random
from pathlib import Path

import numpy as np

from experiments.faults import states
from experiments.faults.row import Row, Verdict
from vaejax.checkpoint import Checkpoints

SEGMENT = 5  # steps, an epoch
SAVE = 250  # segments between saves
NUM_STEPS = 100_000
SLACK = 24 * 2**20  # bytes of growth that allocators may keep for themselves


def _memory() -> int:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def _handles() -> int:
    return len(os.listdir("/proc/self/fd"))


def soak(folder: Path, number: int, rng: random.Random) -> list[Verdict]:
    """Trains and saves; memory, handles and programs after a tenth and at the end."""
    state, seen = states.initial(), []
    epoch, programs = states.compiled(), 0
    with Checkpoints(folder) as checkpoints:
        for i in range(NUM_STEPS // SEGMENT):
            state, _ = epoch(state, data=states.X, num_steps=np.int32(SEGMENT))
            if i == 1:
                programs = epoch._cache_size()
            if (i + 1) % SAVE == 0:
                checkpoints.save(state)
            if (i + 1) % (NUM_STEPS // SEGMENT // 10) == 0:
                checkpoints.wait()
                seen.append((_memory(), _handles()))
    (first, handles), (last, at_end) = seen[0], seen[-1]
    growth, again = last - first, epoch._cache_size() - programs
    good = growth < SLACK and at_end <= handles and again == 0
    said = f"{growth / 2**20:.1f} MiB, {at_end - handles} handles, {again} programs"
    return [Verdict(survived=good, note="" if good else f"grew by {said}")]


ROWS = (
    Row(
        f"soak: {NUM_STEPS:,} steps with saves",
        "no growth of memory or handles after a tenth, no program after two segments",
        num_cases=1, num_quick=0, case=soak, seconds=900,
    ),
)  # fmt: skip
