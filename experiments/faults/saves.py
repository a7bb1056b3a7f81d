"""States that are changed while they are saved, and targets that do not fit."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

import vaejax
from experiments.faults import states
from experiments.faults.row import Row, Verdict
from vaejax.checkpoint import Checkpoints

PER_CASE = 20  # saves of one folder
State = vaejax.TrainState


def donated(folder: Path, number: int, rng: random.Random) -> list[Verdict]:
    """Trains on, which overwrites the state, while its save is still being written."""
    state, expected = states.train(states.initial(), 1), {}
    with Checkpoints(folder, num_newest=PER_CASE) as checkpoints:
        for _ in range(PER_CASE):
            expected[int(state.step)] = states.bits(state)
            checkpoints.save(state)
            given, state = state, states.train(state, rng.randint(1, 3))
            gone = all(leaf.is_deleted() for leaf in jax.tree.leaves(given.params))
            assert gone, "the step did not take its state's memory"
    verdicts = []
    with Checkpoints(folder) as checkpoints:
        for step, own in expected.items():
            restored, _ = checkpoints.restore(states.initial(), step)
            verdicts.append(Verdict(bit_equal=states.equal(states.bits(restored), own)))
    return verdicts


def _leaf(state: State, rng: random.Random, change: Callable[[Any], Any]) -> State:
    """Changes one array of the parameters, drawn at random."""
    leaves, structure = jax.tree.flatten(state.params)
    places = [i for i, leaf in enumerate(leaves) if leaf.ndim]
    place = rng.choice(places)
    leaves[place] = change(leaves[place])
    return state._replace(params=jax.tree.unflatten(structure, leaves))


def _renamed(state: State, rng: random.Random) -> State:
    params = dict(state.params)
    part = dict(params["posterior"])
    part["front"] = part.pop("head")
    return state._replace(params=params | {"posterior": part})


def _missing(state: State, rng: random.Random) -> State:
    params = dict(state.params)
    part = rng.choice(["posterior", "likelihood"])
    return state._replace(params=params | {part: {}})


def _extra(state: State, rng: random.Random) -> State:
    return state._replace(params=state.params | {"more": jnp.zeros(rng.randint(1, 9))})


CHANGES: tuple[Callable[[State, random.Random], State], ...] = (
    _renamed,
    _missing,
    _extra,
    lambda state, rng: _leaf(state, rng, lambda leaf: jnp.zeros((*leaf.shape, 1))),
    lambda state, rng: _leaf(state, rng, lambda leaf: leaf.astype(jnp.bfloat16)),
    lambda state, rng: states.initial(rng.choice((8, 15, 17, 32))),
    lambda state, rng: states.initial(optimizer=optax.sgd(0.1, momentum=0.9)),
)


def other_target(folder: Path, number: int, rng: random.Random) -> list[Verdict]:
    """Restores into a state that is not of the form that was saved."""
    expected = states.saved(folder, 2)
    target = CHANGES[number % len(CHANGES)](states.initial(), rng)
    note, named = "restored in silence", False
    with Checkpoints(folder) as checkpoints:
        try:
            checkpoints.restore(target)
        except ValueError as error:
            note = str(error)
            named = "does not fit: " in note and "/" in note.split("fit: ")[1][:60]
        restored, _ = checkpoints.restore(states.initial())
    equal = states.equal(states.bits(restored), expected[2])
    return [Verdict(detected=named, survived=equal, note="" if named else note)]


ROWS = (
    Row(
        "state overwritten right after an asynchronous save",
        "saved bits are those at the call",
        num_cases=5, num_quick=1, case=donated,
    ),
    Row(
        "wrong target: renamed, missing, extra leaf, shape, dtype, other model",
        "refused, the leaf named; nothing lost",
        num_cases=30, num_quick=3, case=other_target,
    ),
)  # fmt: skip
