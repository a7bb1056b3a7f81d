"""Several runs of one model as one program: they differ in their seed and in beta.

All members take their steps in the same call, spread over the devices; on each they
follow one another, or a few go side by side. Which way changes their speed and not
their numbers: a member is the run that `train` makes of its settings.
"""

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import vaejax
from experiments.models import Recipe
from vaejax.base import Key
from vaejax.trial import NUM_ON_TRIAL

AXIS = "member"
Weights = dict[str, jax.Array]  # `[M]` each, of the objective


class Program(NamedTuple):
    """The compiled functions of a sweep; M members lead every leaf of their states."""

    init: Callable[[Key, jax.Array], vaejax.TrainState]  # (keys [M], x [M, N, ...])
    epoch: Callable[..., tuple[vaejax.TrainState, dict[str, jax.Array]]]
    place: Callable[[Any], Any]  # lays `[M, ...]` over the devices
    num_devices: int


def program(
    recipe: Recipe,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    prepare: Callable[[Key, Any], Any],
    num_members: int,
    num_at_once: int | None,
    devices: Sequence[jax.Device] | None = None,
) -> Program:
    """Compiles training for all members.

    Args:
      recipe: what every member trains.
      optimizer: of every member.
      batch_size: examples per step of each.
      prepare: as in `vaejax.train_epoch`.
      num_members: M.
      num_at_once: how many go side by side on a device, a `vmap`; by default one on a
        CPU, whose cores one step fills, and all of them elsewhere.
      devices: to choose from. Default: all.

    Returns:
      `epoch(states, weights, data, num_steps)`, which is `vaejax.train_epoch` of each
      member, all at the same step, and what belongs to it. Of the devices the largest
      number is used that divides the members.
    """
    devices = jax.devices() if devices is None else devices
    num_devices = max(n for n in range(1, len(devices) + 1) if num_members % n == 0)
    mesh = Mesh(np.array(devices[:num_devices]), (AXIS,))
    members, whole = PartitionSpec(AXIS), PartitionSpec()
    if num_at_once is None:
        num_at_once = 1 if jax.default_backend() == "cpu" else num_members
    # A vmap, even of one, would compute both branches of every `cond`.
    side_by_side = None if num_at_once == 1 else num_at_once
    # Side by side, all would wait for a member whose trial failed.
    num_on_trial = NUM_ON_TRIAL if num_at_once == 1 else 1

    def init(key: Key, x: jax.Array) -> vaejax.TrainState:
        objective = recipe.objective(jnp.int32(0))
        return vaejax.init_state(key, recipe.model, objective, optimizer, x)

    def epoch(
        state: vaejax.TrainState, weights: Weights, data: Any, num_steps: jax.Array
    ) -> Any:
        def step(state: vaejax.TrainState, x: Any) -> Any:
            objective = vaejax.watched(recipe.objective(state.step, **weights))
            return vaejax.train_step(recipe.model, objective, optimizer, state, x)

        return vaejax.train_epoch(
            step,
            batch_size,
            state,
            data=data,
            num_steps=num_steps,
            prepare=prepare,
            num_on_trial=num_on_trial,
        )

    def mapped(states: Any, weights: Weights, data: Any, num_steps: jax.Array) -> Any:
        return jax.lax.map(
            lambda pair: epoch(pair[0], pair[1], data, num_steps),
            (states, weights),
            batch_size=side_by_side,
        )

    spread = jax.shard_map(
        mapped,
        mesh=mesh,
        in_specs=(members, members, whole, whole),
        out_specs=members,
        check_vma=False,
    )
    return Program(
        jax.jit(lambda keys, x: jax.lax.map(lambda pair: init(*pair), (keys, x))),
        jax.jit(spread, donate_argnums=0),
        functools.partial(jax.device_put, device=NamedSharding(mesh, members)),
        num_devices,
    )


def member(tree: Any, index: int) -> Any:
    """One member of `[M, ...]`."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def one_device_a_core() -> None:
    """On a CPU, members on devices of their own share no core.

    Nothing happens where JAX has devices already, or their number was asked for.
    """
    if "JAX_NUM_CPU_DEVICES" in os.environ:
        return
    affinity = getattr(os, "sched_getaffinity", None)
    num_cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        jax.config.update("jax_num_cpu_devices", num_cores)
    except RuntimeError:
        return
