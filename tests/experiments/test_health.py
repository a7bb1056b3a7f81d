"""A run says that its posterior has collapsed when it has, and only then."""

import functools
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.datasets import load_digits

import vaejax
from experiments import cli, health, loop
from experiments.errors import UserError
from tests import poison, toy
from tests.toy_autoregressive import autoregressive
from vaejax import likelihoods, networks, posteriors, priors, schedules, tally, watched
from vaejax.objectives import elbo
from vaejax.train import epoch_order

BATCH, ADAM = 16, optax.adam(3e-3)
DIGITS = jnp.asarray(load_digits().data[:1280] > 7, float)
NETWORK = networks.mlp(hidden=(32,))
VAE = vaejax.latent_variable_model(
    posteriors.diagonal_normal(NETWORK, 4),
    priors.standard_normal(4),
    likelihoods.bernoulli(NETWORK, (64,)),
)
# A Markov chain of bits, each as the one before it with probability 0.9.
LOGIT, NUM_BITS = float(np.log(9)), 12
_draws = np.random.default_rng(0).random((4096, NUM_BITS))
CHAIN = np.cumsum(_draws < np.array([0.5] + [0.1] * (NUM_BITS - 1)), axis=1) % 2
CHAIN = jnp.asarray(CHAIN, float)
AUTOREGRESSIVE = vaejax.latent_variable_model(
    posteriors.diagonal_normal(NETWORK, 2),
    priors.standard_normal(2),
    autoregressive(NUM_BITS, 2, hidden=()),
)


@functools.cache
def start(model, seed=0):
    x = DIGITS if model is VAE else CHAIN
    state = vaejax.init_state(jax.random.key(seed), model, elbo(), ADAM, x[:64])
    if model is VAE:
        return state
    # The decoder knows the chain, so that the best code says nothing; the one that the
    # run starts with says something.
    params = state.params
    params["likelihood"] |= {
        "dense_0": {
            "kernel": 2 * LOGIT * jnp.eye(NUM_BITS, k=1),
            "bias": jnp.full(NUM_BITS, -LOGIT).at[0].set(0.0),
        }
    }
    params["posterior"]["head"]["kernel"] *= 30
    return state._replace(params=params)


@functools.cache
def step_of(model, beta):
    def step(state, x):
        return vaejax.train_step(model, watched(elbo(beta=beta(state.step))), ADAM,
                                 state, x)  # fmt: skip

    return step


@functools.cache
def epoch_of(model, beta):
    return jax.jit(functools.partial(vaejax.train_epoch, step_of(model, beta), BATCH))


def fit(folder, model, beta, num_steps, seed=0, warmup_end=0, save_seconds=1e9):
    x = DIGITS if model is VAE else CHAIN
    plan = loop.Plan(num_steps, len(x) // BATCH, None, save_seconds)
    plan, lines = plan._replace(warmup_end=warmup_end), []
    with vaejax.checkpoint.Checkpoints(folder) as checkpoints:
        loop.fit(
            epoch_of(model, beta), start(model, seed), x, plan, checkpoints,
            lambda state: {}, lines.append,
        )  # fmt: skip
    return lines


def twenty(step):
    return 20.0


def one(step):
    return 1.0


def collapsed_steps(model, beta, num_steps):
    """Step by step, by numpy: the definition."""
    x = DIGITS if model is VAE else CHAIN
    state, flags = start(model), []

    @jax.jit
    def once(state, batch):
        loc = model.encode(state.params, batch).mean()
        objective = elbo(beta=beta(state.step))
        state, metrics = vaejax.train_step(model, objective, ADAM, state, batch)
        return state, metrics["rate"], loc

    for i in range(num_steps):
        epoch, place = divmod(i, len(x) // BATCH)
        if place == 0:
            order = np.asarray(epoch_order(state.key, epoch, len(x), BATCH))
            order = order.reshape(-1, BATCH)
        state, rate, loc = once(state, x[order[place]])
        flags.append(rate < 0.05 or (np.var(loc, axis=0) <= 0.01).all())
    return np.array(flags)


def first_met(flags, num=200):
    """The first step, from 1 on, at the end of so many collapsed ones."""
    rows = np.lib.stride_tricks.sliding_window_view(flags, num).all(axis=1)
    return int(np.argmax(rows)) + num if rows.any() else None


def said(lines):
    return [line for line in lines if "health" in line]


def since(line):
    return int(re.search(r"since step (\d+)", line["health"])[1])


@pytest.mark.parametrize(
    ("model", "beta"), [(VAE, twenty), (AUTOREGRESSIVE, one)], ids=["beta 20", "masked"]
)
def test_a_collapse_is_said_within_one_segment_of_its_definition(
    tmp_path, capsys, model, beta
):
    num_steps = 480
    lines = said(fit(tmp_path, model, beta, num_steps))
    flags = collapsed_steps(model, beta, num_steps)
    met = first_met(flags)
    (line,) = lines
    epoch_steps = len(DIGITS if model is VAE else CHAIN) // BATCH
    print("met", met, "said", line["step"], "since", since(line))
    assert met <= line["step"] < met + epoch_steps
    assert since(line) == met - 199
    assert "has collapsed" in line["health"]
    assert line["health"] in capsys.readouterr().err
    if model is AUTOREGRESSIVE:
        assert not flags[:10].any()  # it was in use
