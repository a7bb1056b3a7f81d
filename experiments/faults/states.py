"""A small train state in this process, for faults that need no run of their own."""

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import vaejax
from vaejax import likelihoods, networks, objectives, posteriors, priors
from vaejax.checkpoint import Checkpoints

X = np.random.default_rng(0).normal(size=(80, 8)).astype(np.float32)
BATCH = 16
OPTIMIZER = optax.adam(1e-2)


def model(width: int = 16) -> vaejax.Model:
    """A VAE of 8 numbers."""
    small = networks.mlp(hidden=(width,))
    return vaejax.latent_variable_model(
        posteriors.diagonal_normal(small, 2),
        priors.standard_normal(2),
        likelihoods.normal(small, (8,), scale="optimal"),
    )


@functools.cache
def _initial(
    width: int = 16, optimizer: optax.GradientTransformation = OPTIMIZER
) -> vaejax.TrainState:
    key = jax.random.key(0)
    return vaejax.init_state(key, model(width), objectives.elbo(), optimizer, X)


def initial(
    width: int = 16, optimizer: optax.GradientTransformation = OPTIMIZER
) -> vaejax.TrainState:
    """Its state before the first step, which may be donated."""
    return jax.tree.map(jnp.copy, _initial(width, optimizer))


def step(state: vaejax.TrainState, x: Any) -> Any:
    """One step of its training."""
    return vaejax.train_step(model(), objectives.elbo(), OPTIMIZER, state, x)


epoch = functools.partial(vaejax.train_epoch, step, BATCH)


@functools.cache
def compiled() -> Any:
    """Its epoch, compiled once in each process."""
    return jax.jit(epoch, donate_argnums=0)


def train(state: vaejax.TrainState, num_steps: int) -> vaejax.TrainState:
    """The state after so many steps more."""
    for _ in range(num_steps):
        state, _ = compiled()(state, data=jnp.asarray(X), num_steps=jnp.int32(1))
    return state


def bits(state: vaejax.TrainState) -> list[np.ndarray]:
    """Every number of a state, on the host."""
    state = state._replace(key=jax.random.key_data(state.key))
    return [np.array(leaf) for leaf in jax.tree.leaves(state)]


def equal(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    """Whether two states have the same bits."""
    pairs = zip(a, b, strict=True)
    return all(x.dtype == y.dtype and x.tobytes() == y.tobytes() for x, y in pairs)


def saved(folder: Path, *steps: int) -> dict[int, list[np.ndarray]]:
    """Writes checkpoints after these steps; returns the bits of each."""
    state, kept = initial(), {}
    with Checkpoints(folder, num_newest=len(steps)) as checkpoints:
        for at in steps:
            state = train(state, at - int(state.step))
            checkpoints.save(state, {"at": at})
            kept[at] = bits(state)
    return kept
