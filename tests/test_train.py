import functools
import operator

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vaejax
from tests import poison, toy
from vaejax import tally
from vaejax.base import Objective
from vaejax.moving_average import toward
from vaejax.objectives import elbo
from vaejax.train import (
    PREPARE,
    TrainState,
    init_state,
    stream,
    train_chunk,
    train_epoch,
    train_step,
)

MODEL, OBJECTIVE = toy.small_vae(hidden=()), elbo()
OPTIMIZER, SGD = optax.adam(0.05), optax.sgd(0.1)
X = toy.bits()
step = functools.partial(train_step, MODEL, OBJECTIVE, OPTIMIZER)


@functools.cache
def start(optimizer=OPTIMIZER, objective=OBJECTIVE, seed=0):
    return init_state(jax.random.key(seed), MODEL, objective, optimizer, X)


def compiled_step(optimizer=OPTIMIZER, objective=OBJECTIVE):
    return jax.jit(functools.partial(train_step, MODEL, objective, optimizer))


def equal(a, b):
    a, b = (jax.device_get(s._replace(key=jax.random.key_data(s.key))) for s in (a, b))
    chex.assert_trees_all_equal(a, b)


# The step.


def test_a_step_is_gradient_descent_on_the_mean_loss_of_the_batch():
    state = start(SGD)
    new, metrics = compiled_step(SGD)(state, X)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(
        stream(state.key, 0, 0), jnp.arange(8)
    )

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def by_hand(params):
        loss, metrics = OBJECTIVE.loss(keys, MODEL, params, X)
        return sum(loss) / 8, metrics

    (loss, terms), grads = by_hand(state.params)
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, state.params, grads)
    chex.assert_trees_all_close(new.params, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-6)
    np.testing.assert_allclose(metrics["rate"], terms["rate"].mean(), rtol=1e-6)
    assert set(metrics) == {"loss", "distortion", "rate", "gradient_norm"}
    norm = optax.tree.norm(grads)
    np.testing.assert_allclose(metrics["gradient_norm"], norm, rtol=1e-5)
    assert new.step == 1
    np.testing.assert_array_equal(*map(jax.random.key_data, (new.key, state.key)))


def test_the_noise_changes_from_step_to_step_and_from_seed_to_seed():
    frozen = optax.sgd(0.0)
    state, compiled = start(frozen), compiled_step(frozen)
    second, first_metrics = compiled(state, X)
    _, second_metrics = compiled(second, X)
    _, again = compiled(second._replace(step=jnp.int32(0)), X)
    other = second._replace(step=jnp.int32(0), key=jax.random.key(77))
    _, seeded = compiled(other, X)
    assert first_metrics["loss"] == again["loss"]
    assert first_metrics["loss"] != second_metrics["loss"]
    assert first_metrics["loss"] != seeded["loss"]


def test_a_schedule_is_an_objective_built_from_the_step_and_traced_once():
    ramp = optax.linear_schedule(0.0, 1.0, 10)
    traces = []

    def scheduled(state, x):
        traces.append(1)
        objective = elbo(beta=ramp(state.step))
        return train_step(MODEL, objective, OPTIMIZER, state, x)

    compiled = jax.jit(scheduled)
    state = start()
    for i in range(4):
        state, metrics = compiled(state, X)
        loss = metrics["distortion"] + i / 10 * metrics["rate"]
        np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
    assert len(traces) == 1
    assert compiled._cache_size() == 1
    expected, _ = compiled_step(objective=elbo(beta=0.4))(state, X)
    got, _ = compiled(state, X)
    chex.assert_trees_all_close(got.params, expected.params, rtol=1e-5, atol=1e-6)


def learning(target):
    """A toy objective that learns two parameters, one of them a moving average."""

    def init(key, model, params, x):
        return {
            "weight": jnp.float32(1.0),
            "moving_average": {"seen": jnp.float32(5.0)},
        }

    def loss(key, model, params, x):
        own = params["objective"]
        fit = (own["weight"] - target) ** 2 + 0.0 * x.sum(axis=-1)
        term = toward(own["moving_average"]["seen"], x.mean(), 0.9)
        base, metrics = OBJECTIVE.loss(key, model, params, x)
        return base + fit + term, metrics | {"fit": fit}

    return Objective(loss, init)


OPTIMIZERS = {
    "sgd": optax.sgd(0.1),
    "clipped adamw": optax.chain(
        optax.clip_by_global_norm(1e-3), optax.adamw(0.1, weight_decay=0.5)
    ),
    "frozen": optax.set_to_zero(),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_an_objective_learns_and_moving_averages_pass_by_the_optimizer(optimizer):
    objective = learning(3.0)
    state = start(optimizer, objective)
    assert set(state.params) == {"posterior", "prior", "likelihood", "objective"}
    new, metrics = compiled_step(optimizer, objective)(state, X)
    seen = new.params["objective"]["moving_average"]["seen"]
    np.testing.assert_allclose(seen, 0.9 * 5 + 0.1 * X.mean(), rtol=1e-6)
    np.testing.assert_allclose(metrics["fit"], 4, rtol=1e-6)
    if optimizer is OPTIMIZERS["sgd"]:
        np.testing.assert_allclose(new.params["objective"]["weight"], 1.4, rtol=1e-6)


def test_a_moving_average_takes_no_share_of_the_clipped_norm():
    """Its gradient (5 - mean) / 10 would otherwise shrink every other update."""
    objective, clip = learning(1.5), optax.chain(optax.clip(0.0), optax.sgd(1.0))
    norm = optax.chain(
        optax.stateless(
            lambda grads, _: jax.tree.map(
                lambda g: jnp.full_like(g, optax.tree.norm(grads)), grads
            )
        ),
        optax.sgd(-1.0),
    )
    optimizer = vaejax.optimizers(model=clip, objective=norm)
    state = start(optimizer, objective)
    new, _ = compiled_step(optimizer, objective)(state, X)
    # The norm of the objective's gradient is that of its weight, 2 |1 - 1.5| = 1.
    np.testing.assert_allclose(new.params["objective"]["weight"], 2.0, rtol=1e-6)


def test_optimizers_route_the_parameters_by_their_owner():
    objective = learning(3.0)
    optimizer = vaejax.optimizers(model=optax.sgd(0.1), objective=optax.sgd(0.25))
    state = start(optimizer, objective)
    new, _ = compiled_step(optimizer, objective)(state, X)
    plain = start(SGD)._replace(params=state.params, key=state.key)
    expected, _ = compiled_step(SGD)(plain, X)
    np.testing.assert_allclose(new.params["objective"]["weight"], 2.0, rtol=1e-6)
    for name in ("posterior", "likelihood"):
        chex.assert_trees_all_close(
            new.params[name], expected.params[name], rtol=1e-6, atol=1e-7
        )


def test_init_state_makes_every_parameter_and_starts_at_step_0():
    state = start()
    assert state.step == 0
    assert set(state.params) == {"posterior", "prior", "likelihood", "objective"}
    other = start(seed=1)
    assert not np.array_equal(*map(jax.random.key_data, (state.key, other.key)))
    kernels = (s.params["posterior"]["head"]["kernel"] for s in (state, other))
    assert not np.array_equal(*kernels)


# Steps that are not finite.


@functools.cache
def poisoned(optimizer=OPTIMIZER, objective=poison.OBJECTIVE):
    return jax.jit(functools.partial(train_step, MODEL, objective, optimizer))


@pytest.mark.parametrize("kind", poison.NAMED)
def test_a_step_that_is_not_finite_changes_nothing_and_names_the_term(kind):
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.05))
    state = start(optimizer)
    state, _ = poisoned(optimizer)(state, poison.batch(X))  # a state with moments
    bad = poison.batch(X, 5, kind)
    once, metrics = poisoned(optimizer)(state, bad)
    equal(once, state._replace(step=jnp.int32(2), skipped=jnp.int32(1)))
    assert poison.named(metrics) == poison.NAMED[kind]
    twice, _ = poisoned(optimizer)(once, bad)
    equal(twice, state._replace(step=jnp.int32(3), skipped=jnp.int32(2)))
    after, metrics = poisoned(optimizer)(twice, poison.batch(X))
    assert after.skipped == 0
    assert not poison.named(metrics)
    later = state._replace(step=jnp.int32(3))  # the noise has moved on
    equal(after, poisoned(optimizer)(later, poison.batch(X))[0])


def test_a_moving_average_that_is_not_finite_is_skipped_too():
    def loss(key, model, params, batch):
        own = params["objective"]["moving_average"]["seen"]
        seen = jnp.where(batch["bad"].any(), jnp.inf, 1.0)
        gap = own - jax.lax.stop_gradient(seen)
        term = jnp.where(batch["bad"].any(), own * seen, gap)
        value, metrics = OBJECTIVE.loss(key, model, params, batch["x"])
        return value + term - jax.lax.stop_gradient(term), metrics

    objective = Objective(loss, lambda *_: {"moving_average": {"seen": jnp.ones(())}})
    state = start(SGD, objective)
    new, metrics = poisoned(SGD, objective)(state, poison.batch(X, 1, poison.RATE))
    equal(new, state._replace(step=jnp.int32(1), skipped=jnp.int32(1)))
    assert poison.named(metrics)


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


# The epoch: with a step that writes down what it is given.


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
