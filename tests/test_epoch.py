import functools
import operator

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import toy
from tests.toy_train import (
    MODEL,
    OBJECTIVE,
    SGD,
    X,
    compiled_step,
    equal,
    start,
    step,
)
from vaejax.epoch import train_epoch
from vaejax.train import PREPARE, TrainState, init_state, stream

# With a step that writes down what it is given.


def record(state, x):
    """A step whose parameter is the list of all batches so far."""
    seen = jax.lax.dynamic_update_index_in_dim(state.params, x, state.step, 0)
    new = state._replace(step=state.step + 1, params=seen)
    return new, {"step": state.step}


def recording(seen, key):
    return TrainState(jnp.int32(0), seen, (), key, jnp.int32(0))


def recorded(num, batch, epochs, **kwargs):
    """The rows that each step of some epochs saw: `[epochs, num // batch, batch]`."""
    per_epoch = num // batch
    seen = jnp.full((epochs * per_epoch, batch), -1)
    state = recording(seen, jax.random.key(0))
    epoch = jax.jit(functools.partial(train_epoch, record, batch, **kwargs))
    for _ in range(epochs):
        state, _ = epoch(state, data=jnp.arange(num))
    return np.asarray(state.params).reshape(epochs, per_epoch, batch)


def test_an_epoch_sees_each_example_at_most_once_in_another_order_each_time():
    seen = recorded(22, 4, 6).reshape(6, 20)
    assert seen.min() >= 0
    assert all(len(set(epoch)) == 20 for epoch in seen)
    assert len({tuple(epoch) for epoch in seen}) == 6
    dropped = [frozenset(range(22)) - set(epoch) for epoch in seen]
    assert len(set(dropped)) > 1  # the short batch that is dropped is another's
    assert not set.intersection(*map(set, dropped))


def test_every_order_is_a_fair_permutation():
    """Each example comes first equally often: 3,000 epochs, z-scores of the counts."""
    num, epochs = 6, 3000
    state = recording(jnp.full((epochs, num), -1), jax.random.key(5))
    epoch = functools.partial(train_epoch, record, num, data=jnp.arange(num))
    state = jax.jit(
        lambda state: jax.lax.fori_loop(0, epochs, lambda _, s: epoch(s)[0], state)
    )(state)
    seen = np.asarray(state.params)
    first = seen[:, :, None] == np.arange(num)  # [epochs, place, example]
    toy.same_mean(first.astype(float), np.full((num, num), 1 / num))


def test_metrics_are_means_over_the_steps():
    state = recording(jnp.zeros((5, 4), int), jax.random.key(0))
    epoch = jax.jit(functools.partial(train_epoch, record, 4))
    _, metrics = epoch(state, data=jnp.arange(22))
    assert metrics["step"] == 2.0
    _, metrics = epoch(state, data=jnp.arange(22), num_steps=jnp.int32(2))
    assert metrics["step"] == 0.5


def test_prepare_has_a_key_for_each_example_that_depends_on_the_step_alone():
    def prepare(key, x):
        assert key.shape == x.shape
        return jax.vmap(lambda key: jax.random.randint(key, (), 0, 2**30))(key)

    seen = recorded(10, 4, 2, prepare=prepare)
    assert len(np.unique(seen)) == seen.size
    base = stream(jax.random.key(0), PREPARE, 3)  # the second step of the second epoch
    assert seen[1, 1, 2] == jax.random.randint(
        jax.random.fold_in(base, 2), (), 0, 2**30
    )


def test_the_data_keep_their_own_type_until_they_are_prepared():
    types = []

    def prepare(key, x):
        types.append((x["image"].dtype, x["label"].dtype))
        return x["image"] / 255

    epoch = functools.partial(train_epoch, step, 4, prepare=prepare)
    data = {"image": jnp.ones((9, 6), jnp.uint8), "label": jnp.ones(9, jnp.int16)}
    jax.eval_shape(epoch, start(), data=data)
    assert {tuple(map(str, pair)) for pair in types} == {("uint8", "int16")}


def test_segments_of_any_lengths_are_the_epochs_bit_for_bit_in_one_program():
    data = toy.bits(21, 6)  # 5 steps an epoch
    whole = jax.jit(functools.partial(train_epoch, step, 4))
    expected = start()
    for _ in range(2):
        expected, _ = whole(expected, data=data)
    segment = jax.jit(functools.partial(train_epoch, step, 4))
    for lengths in [(1, 2, 5, 2), (4, 4, 2), (3, 3, 3, 1)]:  # all cross the epoch's end
        state = start()
        for length in lengths:
            state, _ = segment(state, data=data, num_steps=jnp.int32(length))
        assert state.step == 10
        equal(state, expected)
    state, _ = segment(start(), data=data, num_steps=jnp.int32(99))
    assert state.step == 5  # a traced length is cut at an epoch's
    assert segment._cache_size() == 1


def test_an_epoch_is_its_steps_one_by_one():
    data = toy.bits(13, 6)
    batches = recorded_rows(13, 4)
    state, single = start(), jax.jit(step)
    losses = []
    for rows in batches:
        state, metrics = single(state, data[rows])
        losses.append(metrics["loss"])
    epoch = jax.jit(functools.partial(train_epoch, step, 4))
    together, metrics = epoch(start(), data=data)
    chex.assert_trees_all_close(together.params, state.params, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(metrics["loss"], np.mean(losses), rtol=1e-5)


def recorded_rows(num, batch):
    """The rows of the steps of the first epoch of `start()`."""
    seen = jnp.full((num // batch, batch), -1)
    state = recording(seen, start().key)
    epoch = jax.jit(functools.partial(train_epoch, record, batch))
    return epoch(state, data=jnp.arange(num))[0].params


@pytest.mark.parametrize("batch_size", [9, 0, -1])
def test_fewer_examples_than_a_batch_is_an_error(batch_size):
    with pytest.raises(ValueError, match=r"8 examples and batch_size"):
        train_epoch(step, batch_size, start(), data=X)


@pytest.mark.parametrize("num_steps", [0, 3, -1])
def test_a_number_of_steps_that_is_not_an_epochs_is_an_error(num_steps):
    with pytest.raises(ValueError, match=rf"1 to 2.*got {num_steps}"):
        train_epoch(step, 4, start(), data=X, num_steps=num_steps)


def test_the_state_is_donated_and_nothing_touches_the_host_inside():
    epoch = jax.jit(functools.partial(train_epoch, step, 4), donate_argnums=0)
    state = jax.tree.map(jnp.array, start()._replace(key=None))
    state = state._replace(key=jax.random.key(0))  # the cached state stays alive
    data, num_steps = toy.bits(13, 6), jnp.int32(3)
    program = epoch.lower(state, data=data, num_steps=num_steps).compile()
    text = program.as_text()
    for traffic in ("callback", "infeed", "outfeed", "send(", "recv("):
        assert traffic not in text, traffic
    old = jax.tree.leaves((state.params, state.opt_state))
    with jax.transfer_guard("disallow"):
        new, _ = jax.block_until_ready(epoch(state, data=data, num_steps=num_steps))
    assert all(leaf.is_deleted() for leaf in old)
    assert not data.is_deleted()
    assert new.step == 3


def test_many_seeds_at_once_are_the_separate_runs():
    data, num = toy.bits(13, 6), 3
    epoch = functools.partial(train_epoch, compiled_step(SGD), 4)

    @jax.jit
    def run(state):
        return epoch(state, data=data)

    states = jax.jit(jax.vmap(lambda key: init_state(key, MODEL, OBJECTIVE, SGD, X)))(
        toy.keys(0, num)
    )
    together, metrics = jax.jit(jax.vmap(run))(states)
    for i in range(num):
        one, got = (
            jax.tree.map(operator.itemgetter(i), tree)
            for tree in (states, together.params)
        )
        if i == num - 1:
            first = init_state(toy.keys(0, num)[i], MODEL, OBJECTIVE, SGD, X)
            chex.assert_trees_all_close(one.params, first.params, rtol=1e-5, atol=1e-7)
        state, own = run(one)
        chex.assert_trees_all_close(got, state.params, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(metrics["loss"][i], own["loss"], rtol=1e-5)
    assert len(np.unique(metrics["loss"])) == num


def test_data_that_are_closed_over_may_lie_on_the_host():
    data = toy.bits(13, 6)
    epoch = functools.partial(train_epoch, step, 4)
    expected, _ = jax.jit(epoch)(start(), data=data)
    closed, _ = jax.jit(functools.partial(epoch, data=np.asarray(data)))(start())
    chex.assert_trees_all_close(closed.params, expected.params, rtol=1e-6)
