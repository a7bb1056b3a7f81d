import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vaejax
from tests import poison
from tests.toy_train import (
    MODEL,
    OBJECTIVE,
    OPTIMIZER,
    SGD,
    X,
    compiled_step,
    equal,
    poisoned,
    start,
)
from vaejax.base import Objective
from vaejax.moving_average import toward
from vaejax.objectives import elbo
from vaejax.train import stream, train_step


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
