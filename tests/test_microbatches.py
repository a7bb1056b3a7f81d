"""Parts of a batch, one after the other, give the step of the whole batch."""

import functools
import math
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh

import vaejax
from tests import toy
from tests.rows import ROWS
from vaejax.epoch import train_epoch
from vaejax.objectives import elbo, iwae
from vaejax.train import train_step

MODEL, OPTIMIZER = toy.small_vae(), optax.sgd(0.01)  # Adam would hide a factor
IMAGES = toy.bits(16 * 5)
MODES = (None, "pmap", "jit")
OBJECTIVES = {"elbo": elbo(), "iwae": iwae(num_particles=3)}


def mesh():
    return Mesh(np.array(jax.devices()[:4]), ("batch",))


def compiled(step, mode):
    return jax.jit(step) if mode is None else vaejax.parallelize(step, mesh(), mode)


def step_of(objective, num):
    return functools.partial(
        train_step, MODEL, objective, OPTIMIZER, num_microbatches=num
    )


def start(objective=None):
    objective = objective or elbo()
    return vaejax.init_state(
        jax.random.key(0), MODEL, objective, OPTIMIZER, IMAGES[:16]
    )


@functools.cache
def run(name, mode, num):
    """Every metric of 20 steps, and the parameters after them."""
    state, rows = start(), []
    step = compiled(step_of(OBJECTIVES[name], num), mode)
    for i in range(20):
        x = IMAGES[16 * (i % 5) :][:16]
        state, metrics = jax.block_until_ready(step(state, x))
        rows.append(jax.device_get(metrics))
    return jax.device_get(state.params), {
        name: np.array([row[name] for row in rows]) for name in rows[0]
    }


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_twenty_steps_have_the_losses_of_the_whole_batch(name, mode):
    params, expected = run(name, None, 1)
    own, got = run(name, mode, 4)
    assert set(got) == set(expected)
    for metric in expected:
        exact = 0 if metric == "loss" else 1e-6  # a sampled rate may be about 0
        np.testing.assert_allclose(
            got[metric], expected[metric], rtol=1e-5, atol=exact, err_msg=metric
        )
    chex.assert_trees_all_close(own, params, rtol=1e-3, atol=1e-5)
    assert len(np.unique(got["loss"])) == 20


@pytest.mark.parametrize("mode", MODES)
def test_an_epoch_of_a_scheduled_objective_may_be_in_parts(mode):
    def scheduled(num, state, x):
        return step_of(elbo(beta=0.1 * state.step), num)(state, x)

    def losses(mode, num):
        step = functools.partial(scheduled, num)
        epoch = compiled(functools.partial(train_epoch, step, 16), mode)
        _, metrics = epoch(start(), data=IMAGES)
        return [metrics["loss"], metrics["rate"]]

    np.testing.assert_allclose(losses(mode, 2), losses(None, 1), rtol=1e-5)


def num_numbers(dimensions):
    return math.prod(int(size) for size in dimensions.split(",") if size)


OF_DIMENSIONS = 3  # of two: rates, and means and squares that become variances


@pytest.mark.parametrize("num", [1, 2])
@pytest.mark.parametrize("mode", ["pmap", "jit"])
@pytest.mark.parametrize("watch", [False, True])
def test_a_step_has_one_sum_over_devices(mode, num, watch, monkeypatch):
    texts, compilers = [], {"pmap": jax.pmap, "jit": jax.jit}

    def spy(function, **kwargs):
        compiled = compilers[mode](function, **kwargs)
        if "donate_argnums" not in kwargs:  # not the one of `parallelize`
            return compiled

        def call(*args):
            texts.append(compiled.lower(*args).compile().as_text())
            return args[0], {}

        return call

    state, x = start(), IMAGES[:16]
    monkeypatch.setattr(jax, mode, spy)
    objective = vaejax.watched(elbo()) if watch else elbo()
    vaejax.parallelize(step_of(objective, num), mesh(), mode)(state, x)
    (text,) = texts
    (sums,) = re.findall(r"= (.*) all-reduce(?:-start)?\(", text)
    shapes = [num_numbers(size) for size in re.findall(r"f32\[([\d,]*)\]", sums)]
    num_metrics = len({"loss", "distortion", "rate"})
    num_metrics += 2 * OF_DIMENSIONS if watch else 0
    params = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    assert sum(shapes) == params + num_metrics  # and nothing twice
    assert "all-reduce" in text[text.index("ENTRY") :]  # in no loop
    assert not re.findall(r" (all-gather|all-to-all|collective-permute)\(", text)


COUPLED = (
    "free bits", "capacity", "beta tc", "dip", "info mmd", "wae mmd",
    "sliced wasserstein", "regularized, spectral", "normal, optimal",
)  # fmt: skip


@pytest.mark.parametrize("name", COUPLED)
def test_what_looks_at_the_whole_batch_is_refused(name):
    objective, model, x = ROWS[name]

    def first(num, key, x):
        state = vaejax.init_state(key, model, objective, OPTIMIZER, x)
        return train_step(model, objective, OPTIMIZER, state, x, num_microbatches=num)

    key = jax.random.key(0)
    with pytest.raises(ValueError, match=r"whole batch.*use num_microbatches=1"):
        jax.eval_shape(functools.partial(first, 2), key, x)
    jax.eval_shape(functools.partial(first, 1), jax.random.clone(key), x)


def test_what_looks_at_examples_one_by_one_may_be_in_parts():
    for name in ("conditional", "denoising", "m2", "masked", "miwae, dreg", "vamp"):
        objective, model, x = ROWS[name]

        def first(key, x, objective=objective, model=model):
            state = vaejax.init_state(key, model, objective, OPTIMIZER, x)
            return train_step(model, objective, OPTIMIZER, state, x, num_microbatches=2)

        _, metrics = jax.eval_shape(first, jax.random.key(0), x)
        assert metrics["loss"].shape == (), name


@pytest.mark.parametrize("num", [0, 3, 32, -1])
def test_a_number_that_does_not_divide_the_examples_is_an_error(num):
    with pytest.raises(ValueError, match=rf"divide the 16 examples.*got {num}"):
        step_of(elbo(), num)(start(), IMAGES[:16])


@pytest.mark.parametrize("mode", ["pmap", "jit"])
def test_it_is_the_examples_of_one_device_that_are_divided(mode):
    step = vaejax.parallelize(step_of(elbo(), 8), mesh(), mode)
    with pytest.raises(ValueError, match="divide the 4 examples of a device, got 8"):
        step(start(), IMAGES[:16])


def test_the_memory_of_a_step_shrinks_with_its_parts():
    model = toy.small_vae(dim=50, hidden=(400,))
    x = jnp.zeros((1024, 50))

    def temporary(num):
        step = functools.partial(
            train_step, model, elbo(), optax.sgd(0.1), num_microbatches=num
        )
        state = vaejax.init_state(
            jax.random.key(0), model, elbo(), optax.sgd(0.1), x[:1]
        )
        program = jax.jit(step).lower(state, x).compile()
        return program.memory_analysis().temp_size_in_bytes

    assert temporary(8) < temporary(1) / 3
