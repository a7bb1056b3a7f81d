"""Examples that are not finite in one shard of a batch, and a row of such batches."""

import functools
import random
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

import vaejax
from experiments import loop
from experiments.errors import UserError
from experiments.faults import states
from experiments.faults.row import Row, Verdict
from vaejax import objectives
from vaejax.checkpoint import Checkpoints

PER_CASE = 20  # injections
NUM_DEVICES = 4
MODES: tuple[Literal["pmap", "jit"], ...] = ("pmap", "jit")
X = jnp.asarray(states.X[: states.BATCH])


def _poisoned(key: Any, model: Any, params: Any, batch: Any) -> Any:
    """The ELBO; where `bad` is set, its gradient is NaN though its value is finite."""
    loss, metrics = objectives.elbo().loss(key, model, params, batch["x"])
    # The slope of the root at 0 is infinite, and 0 times that is NaN.
    own = jax.tree.leaves(params["likelihood"])[0].sum()
    root = jnp.sqrt(jnp.where(batch["bad"], 0.0, 1.0) + 0 * own)
    return loss + root - jax.lax.stop_gradient(root), metrics


OBJECTIVE = vaejax.Objective(_poisoned)


def _step(state: vaejax.TrainState, batch: Any) -> Any:
    return vaejax.train_step(states.model(), OBJECTIVE, states.OPTIMIZER, state, batch)


@functools.cache
def _on_four(mode: Literal["pmap", "jit"]) -> Any:
    mesh = jax.make_mesh((NUM_DEVICES,), ("batch",))
    return vaejax.parallelize(_step, mesh, mode)


@functools.cache
def _chunk() -> Any:
    return jax.jit(functools.partial(vaejax.train_chunk, _step), donate_argnums=0)


def _batch(kind: str, row: int) -> dict[str, jax.Array]:
    value = {"NaN": jnp.nan, "Inf": jnp.inf}.get(kind)
    x = X if value is None else X.at[row].set(value)
    return {"x": x, "bad": jnp.zeros(len(X), bool).at[row].set(kind == "gradient")}


KINDS = {"NaN": "loss", "Inf": "loss", "gradient": "gradient_norm"}  # and what tells


def _everywhere(state: vaejax.TrainState) -> list[np.ndarray]:
    """The bits of parameters and optimizer on every device."""
    leaves = jax.tree.leaves((state.params, state.opt_state))
    return [np.asarray(s.data) for leaf in leaves for s in leaf.addressable_shards]


def one_shard(folder: Path, number: int, rng: random.Random) -> list[Verdict]:
    """Steps with one bad example each, and a good one at the end."""
    step, verdicts = _on_four(MODES[number % 2]), []
    state, _ = step(states.initial(), _batch("good", 0))
    for injection in range(1, PER_CASE + 1):
        kind, row = rng.choice(list(KINDS)), rng.randrange(len(X))
        before = [leaf.copy() for leaf in _everywhere(state)]
        state, metrics = jax.block_until_ready(step(state, _batch(kind, row)))
        equal = states.equal(_everywhere(state), before)
        told = not np.isfinite(metrics[KINDS[kind]]) and state.skipped == injection
        good = bool(told and equal)
        note = "" if good else f"{kind} in row {row}: {metrics}"
        verdicts.append(Verdict(bool(told), survived=good, bit_equal=equal, note=note))
    state, metrics = step(state, _batch("good", 0))
    went_on = bool(state.skipped == 0 and np.isfinite(metrics["loss"]))
    stopped, note = _stops(folder, rng)
    note = note if not stopped else "" if went_on else "it did not go on"
    return [
        *verdicts[:-1],
        verdicts[-1]._replace(survived=went_on and stopped, note=note),
    ]


def _stops(folder: Path, rng: random.Random) -> tuple[bool, str]:
    """Whether a run of bad batches alone stops after so many, by name."""
    kind, most = rng.choice(list(KINDS)), rng.randint(2, 9)
    batches = [_batch("good", 0)] * 10 + [_batch(kind, rng.randrange(len(X)))] * 10
    data = jax.tree.map(lambda *rows: jnp.stack(rows), *batches)

    def epoch(state: Any, *, data: Any, num_steps: int) -> Any:
        ahead = jax.tree.map(lambda leaf: jnp.roll(leaf, -int(state.step), 0), data)
        return _chunk()(state, data=ahead, num_steps=num_steps)

    plan = loop.Plan(20, 20, None, save_seconds=0, max_skipped=most)
    with Checkpoints(folder) as checkpoints:
        try:
            loop.fit(
                epoch, states.initial(), data, plan, checkpoints,
                lambda state: {}, lambda metrics: None,
            )  # fmt: skip
        except UserError as error:
            said = str(error)
            named = "in a row up to step 20 " in said and KINDS[kind] in said
            return named and checkpoints.steps() == [10], said
    return False, f"{kind}: did not stop"


ROWS = (
    Row(
        "NaN or Inf in batch or gradient, in one shard of four",
        "told; state unchanged on every device; N in a row stop",
        num_cases=5, num_quick=1, case=one_shard, num_devices=NUM_DEVICES,
    ),
)  # fmt: skip
