"""A small VAE, its step and its first state: what tests of training share."""

import functools

import chex
import jax
import optax

from tests import poison, toy
from vaejax.objectives import elbo
from vaejax.train import init_state, train_step

MODEL, OBJECTIVE = toy.small_vae(hidden=()), elbo()
OPTIMIZER, SGD = optax.adam(0.05), optax.sgd(0.1)
X = toy.bits()
step = functools.partial(train_step, MODEL, OBJECTIVE, OPTIMIZER)


@functools.cache
def start(optimizer=OPTIMIZER, objective=OBJECTIVE, seed=0):
    return init_state(jax.random.key(seed), MODEL, objective, optimizer, X)


def compiled_step(optimizer=OPTIMIZER, objective=OBJECTIVE):
    return jax.jit(functools.partial(train_step, MODEL, objective, optimizer))


@functools.cache
def poisoned(optimizer=OPTIMIZER, objective=poison.OBJECTIVE):
    return compiled_step(optimizer, objective)


def equal(a, b):
    a, b = (jax.device_get(s._replace(key=jax.random.key_data(s.key))) for s in (a, b))
    chex.assert_trees_all_equal(a, b)
