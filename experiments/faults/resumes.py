"""Stopped and resumed at every step: in a loop and in a program, by two readers."""

import functools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import vaejax
from experiments.faults import states
from experiments.faults.row import Row, Verdict
from vaejax.checkpoint import Checkpoints

NUM_STEPS = 50
SEGMENT = len(states.X) // states.BATCH  # steps of an epoch
Way = Callable[[vaejax.TrainState, int], vaejax.TrainState]


def _segments(
    state: vaejax.TrainState, num_steps: int, most: int, epoch: Any, data: Any
) -> vaejax.TrainState:
    while num_steps:
        num = min(num_steps, most)
        state, _ = epoch(state, data=data, num_steps=jnp.int32(num))
        num_steps -= num
    return state


def _resident(most: int) -> Way:
    """Data on the device, so many steps of it in one call at most."""
    return lambda state, num: _segments(
        state, num, most, states.compiled(), jnp.asarray(states.X)
    )


@functools.cache
def _chunk() -> Any:
    chunk = functools.partial(vaejax.train_chunk, states.step)
    return jax.jit(chunk, donate_argnums=0)


def _streamed(most: int) -> Way:
    """Data read by grain, from an iterator that is new in each run."""

    def way(state: vaejax.TrainState, num_steps: int) -> vaejax.TrainState:
        epoch = vaejax.streamed(_chunk(), states.BATCH, chunk_steps=2)
        source = vaejax.data.from_arrays(states.X)
        return _segments(state, num_steps, most, epoch, source)

    return way


WAYS = {
    "loop": _resident(1),
    "scan": _resident(SEGMENT),
    "loop, grain": _streamed(1),
    "scan, grain": _streamed(SEGMENT),
}


@functools.cache
def _straight(way: str) -> list[np.ndarray]:
    return states.bits(WAYS[way](states.initial(), NUM_STEPS))


def at_step(folder: Path, number: int, rng: random.Random) -> list[Verdict]:
    """Saves after some steps, restores in a new state, and takes the others."""
    verdicts = []
    for name, way in WAYS.items():
        with Checkpoints(folder / name) as checkpoints:
            checkpoints.save(way(states.initial(), number + 1))
        with Checkpoints(folder / name) as checkpoints:
            state, _ = checkpoints.restore(states.initial())
        state = way(state, NUM_STEPS - number - 1)
        verdicts.append(
            Verdict(bit_equal=states.equal(states.bits(state), _straight(name)))
        )
    return verdicts


ROWS = (
    Row(
        f"resumed at every step of {NUM_STEPS}: loop, scan; on the device, by grain",
        "bit-identical",
        num_cases=NUM_STEPS, num_quick=1, case=at_step,
    ),
)  # fmt: skip
