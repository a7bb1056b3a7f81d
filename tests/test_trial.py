import functools
import operator

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import poison
from tests.toy_train import (
    X,
    equal,
    poisoned,
    start,
    step,
)
from vaejax import tally
from vaejax.epoch import train_chunk
from vaejax.train import TrainState

KINDS = [0, 0, poison.RATE, poison.NAN, 0, poison.GRADIENT, 0, 0]


def poisoned_steps(seed=0, kinds=KINDS):
    """The states and metrics of steps one by one."""
    state, rows = start(seed=seed), []
    for kind in kinds:
        state, metrics = poisoned()(state, poison.batch(X, 3, kind))
        rows.append(jax.device_get(metrics))
    return state, rows


def chunk_of(kinds):
    batches = [poison.batch(X, 3, kind) for kind in kinds]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches)


@functools.cache
def poisoned_chunk():
    return jax.jit(functools.partial(train_chunk, poisoned()))


def test_the_means_of_many_steps_are_those_of_the_steps_taken():
    expected, rows = poisoned_steps()
    state, metrics = poisoned_chunk()(start(), data=chunk_of(KINDS))
    chex.assert_trees_all_close(state.params, expected.params, rtol=1e-5, atol=1e-6)
    assert {name: metrics[name] for name in ("taken", "skipped")} == {
        "taken": 5,
        "skipped": 3,
    }
    assert metrics["skipped_in_a_row"] == 2
    assert metrics["last_in_row"] == 4
    for name in ("loss", "distortion", "rate", "gradient_norm"):
        taken = [row[name] for row, kind in zip(rows, KINDS, strict=True) if not kind]
        np.testing.assert_allclose(metrics[name], np.mean(taken), rtol=1e-5)
        lost = sum(not np.isfinite(row[name]) for row in rows)
        assert metrics[f"nonfinite_{name}"] == lost, name


def test_segments_keep_the_row_of_skipped_steps():
    whole, _ = poisoned_chunk()(start(), data=chunk_of(KINDS))
    state, told = start(), {}
    for part in (KINDS[:3], KINDS[3:]):  # the cut is inside a row
        data = chunk_of(part + [0] * (8 - len(part)))
        state, metrics = poisoned_chunk()(state, data=data, num_steps=len(part))
        told = tally.merged(told, metrics)
    equal(state, whole)
    _, expected = poisoned_chunk()(start(), data=chunk_of(KINDS))
    assert set(told) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(told[name], value, rtol=1e-6, err_msg=name)


def test_where_no_step_was_taken_there_is_no_mean():
    _, metrics = poisoned_chunk()(start(), data=chunk_of([poison.RATE] * 8))
    assert np.isnan(metrics["loss"])
    assert metrics["skipped_in_a_row"] == metrics["skipped"] == 8
    _, none = poisoned_chunk()(start(), data=chunk_of([0] * 8), num_steps=0)
    assert none["loss"] == none["taken"] == none["skipped"] == 0


def test_of_many_seeds_at_once_only_the_one_that_is_not_finite_stands_still():
    states = jax.tree.map(lambda *leaves: jnp.stack(leaves), start(), start(seed=1))
    kinds = ([0] * 8, KINDS)
    data = jax.tree.map(lambda *a: jnp.stack(a), *map(chunk_of, kinds))

    @jax.jit
    @jax.vmap
    def run(state, data):
        return train_chunk(poisoned(), state, data=data)

    together, metrics = run(states, data)
    np.testing.assert_array_equal(metrics["skipped"], [0, 3])
    for i, kinds_of in enumerate(kinds):
        alone, own = poisoned_chunk()(start(seed=i), data=chunk_of(kinds_of))
        got = jax.tree.map(operator.itemgetter(i), together.params)
        chex.assert_trees_all_close(got, alone.params, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(metrics["loss"][i], own["loss"], rtol=1e-5)


@pytest.mark.parametrize("num_on_trial", [2, 3, 5, 16])
@pytest.mark.parametrize("kinds", [KINDS, [0] * 8, KINDS[2:4] * 4, KINDS[::-1]])
def test_how_many_are_on_trial_changes_no_bit_and_no_count(kinds, num_on_trial):
    data = chunk_of(kinds)
    expected, counts = on_trial(1)(start(), data=data)
    state, metrics = on_trial(num_on_trial)(start(), data=data)
    equal(state, expected)
    assert set(metrics) == set(counts)
    for name, value in counts.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-6, err_msg=name)


@functools.cache
def on_trial(num):
    return jax.jit(functools.partial(train_chunk, poisoned(), num_on_trial=num))


def test_a_row_of_skipped_steps_goes_on_from_before_the_trial():
    state = start()._replace(skipped=jnp.int32(5))
    state, metrics = poisoned_chunk()(state, data=chunk_of([poison.RATE] * 2 + [0] * 6))
    assert metrics["skipped_in_a_row"] == 7
    assert state.skipped == 0


def test_a_step_with_a_guard_of_its_own_is_believed():
    def own(state, x):
        bad = x[0] < 0
        new = state._replace(
            step=state.step + 1,
            params=state.params + jnp.where(bad, jnp.nan, x[0]),
            skipped=jnp.where(bad, state.skipped + 1, 0),
        )
        return new, {"x": x[0]}

    zero = jnp.int32(0)
    state = TrainState(zero, jnp.float32(0), (), jax.random.key(0), zero)
    state, metrics = train_chunk(own, state, data=jnp.array([[1.0], [-1.0], [3.0]]))
    assert state.params == 4
    assert (metrics["taken"], metrics["skipped"], metrics["x"]) == (2, 1, 2)


def test_none_on_trial_is_an_error():
    with pytest.raises(ValueError, match=r"num_on_trial.*at least 1, got 0"):
        train_chunk(step, start(), data=X[None], num_on_trial=0)


def test_steps_that_all_fail_cost_one_trial():
    """All bad: 4 steps together, which are taken back, and then each by itself."""
    made = []

    def counted(state, x):
        jax.debug.callback(lambda _: made.append(1), x)
        return state._replace(step=state.step + 1, skipped=state.skipped + 1), {"x": x}

    zero = jnp.int32(0)
    state = TrainState(zero, jnp.float32(0), (), jax.random.key(0), zero)
    run = functools.partial(train_chunk, lambda state, x: counted(state, x[0]))
    _, metrics = run(state, data=jnp.ones((16, 1)), num_on_trial=4)
    jax.effects_barrier()
    assert metrics["skipped"] == 16
    assert len(made) == 4 + 16


@pytest.mark.parametrize("num_on_trial", [1, 16])
def test_the_number_of_steps_may_have_any_integer_type(num_on_trial):
    with jax.enable_x64(True):
        data = chunk_of([0] * 3)
        state, _ = train_chunk(
            poisoned(), start(), data=data, num_steps=np.int64(2),
            num_on_trial=num_on_trial,
        )  # fmt: skip
    assert state.step == 2
