"""Streamed data give the run of device-resident data, and resume at any step."""

import functools
import threading
import time

import jax
import numpy as np
import optax
import pytest
from jax.sharding import Mesh

import vaejax
from tests import toy
from vaejax.checkpoint import params_sha256
from vaejax.epoch import epoch_order
from vaejax.objectives import elbo

pytest.importorskip("grain")

BATCH, NUM = 8, 8 * 7 + 3  # 7 steps an epoch, some rows left over
IMAGES = np.asarray(toy.bits(NUM))
MODEL, OBJECTIVE, OPTIMIZER = toy.small_vae(hidden=()), elbo(), optax.adam(0.05)
step = functools.partial(vaejax.train_step, MODEL, OBJECTIVE, OPTIMIZER)
chunk = functools.partial(vaejax.train_chunk, step, prepare=lambda key, x: flip(key, x))


def flip(key, x):
    """Rows with noise of their own, so that a wrong key or row shows."""
    noise = jax.vmap(lambda key: jax.random.bernoulli(key, 0.2, x.shape[1:]))(key)
    return abs(x - noise)


def start(seed=0):
    return vaejax.init_state(
        jax.random.key(seed), MODEL, OBJECTIVE, OPTIMIZER, IMAGES[:BATCH]
    )


@functools.cache
def compiled():
    return jax.jit(chunk, donate_argnums=0)


def epoch(chunk_steps=4, **reading):
    return vaejax.streamed(compiled(), BATCH, chunk_steps=chunk_steps, **reading)


@functools.cache
def resident():
    epoch = functools.partial(vaejax.train_epoch, step, BATCH, prepare=flip)
    return jax.jit(epoch, donate_argnums=0)


def losses(run, data, segments):
    state, found = start(), []
    for num in segments:
        state, metrics = run(state, data=data, num_steps=num)
        found.append(float(metrics["loss"]))
    return np.array(found), state


@pytest.mark.parametrize("mode", [None, "pmap", "jit"])
def test_the_losses_are_those_of_data_on_the_device(mode):
    mesh = Mesh(np.array(jax.devices()), ("batch",))
    run = compiled() if mode is None else vaejax.parallelize(chunk, mesh, mode)
    run = vaejax.streamed(run, BATCH, chunk_steps=4)
    segments = (5, 7, 1, 3, 6)  # over the ends of epochs, with chunks cut short
    expected, whole = losses(resident(), IMAGES, segments)
    found, state = losses(run, vaejax.data.from_arrays(IMAGES), segments)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert state.step == whole.step == sum(segments)


@pytest.mark.parametrize(
    "stops",
    [(1, 7, 24), pytest.param(tuple(range(1, 50)), marks=pytest.mark.slow)],
    ids=["some steps", "every step"],
)
def test_a_run_of_fifty_steps_that_was_resumed_is_bit_identical(stops):
    source = vaejax.data.from_arrays(IMAGES)
    _, whole = losses(epoch(), source, (50,))
    for stop in stops:
        _, state = losses(epoch(), source, (stop,))
        state, _ = epoch()(state, data=source, num_steps=50 - stop)
        assert params_sha256(state.params) == params_sha256(whole.params), stop


def test_no_steps_compile_the_program_of_all_others_and_change_nothing():
    run = jax.jit(lambda *args, **kwargs: chunk(*args, **kwargs), donate_argnums=0)
    source, state = vaejax.data.from_arrays(IMAGES), start()
    before = params_sha256(state.params)
    streaming = vaejax.streamed(run, BATCH, chunk_steps=4)
    state, metrics = streaming(state, data=source, num_steps=0)
    assert params_sha256(state.params) == before
    assert state.step == 0
    assert metrics["loss"] == 0
    for num in (6, 1):
        state, _ = streaming(state, data=source, num_steps=num)
    assert run._cache_size() == 1
    with pytest.raises(ValueError, match="negative"):
        streaming(state, data=source, num_steps=-1)


def first_batches(num, key=0, **kwargs):
    source = vaejax.data.from_arrays(np.arange(NUM))
    iterator = vaejax.data.batches(source, jax.random.key(key), BATCH, **kwargs)
    return np.array([next(iterator) for _ in range(num)])


@pytest.mark.parametrize("count", [1, 2, 4])
def test_the_shares_of_all_processes_are_the_global_batch_in_order(count):
    shares = [
        first_batches(9, process_index=i, process_count=count) for i in range(count)
    ]
    rows = np.asarray(epoch_order(jax.random.key(0), 0, NUM, BATCH)).reshape(7, BATCH)
    whole = np.concatenate(shares, axis=1)
    np.testing.assert_array_equal(whole[:7], rows)
    np.testing.assert_array_equal(whole, first_batches(9))


def test_the_order_differs_by_epoch_and_by_seed_and_has_no_row_twice():
    first, second = first_batches(14).reshape(2, -1)
    assert len(set(first)) == len(set(second)) == 56
    assert (first != second).mean() > 0.8
    assert (first_batches(7, key=1).ravel() != first).mean() > 0.8


def test_the_iterators_state_is_the_step_and_can_be_set():
    source = vaejax.data.from_arrays(np.arange(NUM))
    iterator = vaejax.data.batches(source, jax.random.key(0), BATCH)
    next(iterator)
    assert iterator.get_state()["next_index"] == 1
    iterator.set_state(iterator.get_state() | {"next_index": 8})
    np.testing.assert_array_equal(next(iterator), first_batches(9)[8])


def test_batches_are_read_while_others_are_used_and_never_too_many():
    read, lock = [], threading.Lock()

    def take(rows):
        time.sleep(0.02)
        with lock:
            read.append(len(rows))
        return rows

    source = vaejax.data.Source(NUM, take)
    options = {"num_ahead": 3, "num_threads": 2}
    iterator = vaejax.data.batches(source, jax.random.key(0), BATCH, **options)
    for used in range(1, 5):
        next(iterator)
        time.sleep(0.3)  # a slow step
        assert used < len(read) <= used + 3 + 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 100}, "59 examples"),
        ({"num_ahead": 0}, "num_ahead"),
        ({"process_index": 2, "process_count": 2}, "process_index"),
        ({"process_count": 3}, "cannot be split over 3"),
    ],
)
def test_what_cannot_be_read_is_named(options, message):
    source = vaejax.data.from_arrays(np.arange(NUM))
    with pytest.raises(ValueError, match=message):
        vaejax.data.batches(source, jax.random.key(0), **({"batch_size": 8} | options))


def test_the_loop_resumes_a_streamed_run_from_its_checkpoint(tmp_path):
    loop = pytest.importorskip("experiments.loop")
    source = vaejax.data.from_arrays(IMAGES)

    def fit(name, num_steps):
        plan = loop.Plan(num_steps, NUM // BATCH, None, 100.0)
        with vaejax.checkpoint.Checkpoints(tmp_path / name) as kept:
            none = lambda state: {}  # noqa: E731
            out = loop.fit(epoch(), start(), source, plan, kept, none, lambda _: None)
        return params_sha256(out.state.params)

    stopped, whole = fit("a", 10), fit("b", 16)
    assert stopped != whole
    assert fit("a", 16) == whole
