"""Large gradients are skipped, and a threshold below all of them stops nothing."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests import toy
from vaejax import skip_large_gradients
from vaejax.epoch import train_epoch
from vaejax.objectives import elbo
from vaejax.train import init_state, train_step


def run(optimizer, norms):
    """Where sgd goes from 0 on gradients of these norms, all along (3, 4) / 5."""
    params, places = jnp.zeros(2), []
    state = optimizer.init(params)
    for norm in norms:
        grads = norm * jnp.array([0.6, 0.8])
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        places.append(float(-params @ jnp.array([0.6, 0.8])))
    return places, state


def test_only_longer_gradients_are_skipped():
    optimizer = skip_large_gradients(optax.sgd(1.0), 2.0, num_in_a_row=5)
    places, _ = run(optimizer, [1, 3, 1.5, 2.5, 0.5])
    np.testing.assert_allclose(places, [1, 1, 2.5, 2.5, 3], rtol=1e-6)


@pytest.mark.parametrize("num", [0, 1, 3])
def test_after_a_row_of_them_one_is_shortened_and_taken(num):
    optimizer = skip_large_gradients(optax.sgd(1.0), 2.0, num_in_a_row=num)
    places, _ = run(optimizer, [10.0] * 8)
    expected = [2.0 * ((i + 1) // (num + 1)) for i in range(8)]
    np.testing.assert_allclose(places, expected, rtol=1e-6)


def test_a_good_step_ends_the_row():
    optimizer = skip_large_gradients(optax.sgd(1.0), 2.0, num_in_a_row=2)
    places, _ = run(optimizer, [9, 9, 1, 9, 9, 9])
    np.testing.assert_allclose(places, [0, 0, 1, 1, 1, 3], rtol=1e-6)


def test_a_skipped_step_leaves_the_moments_as_they_were():
    optimizer = skip_large_gradients(optax.adam(0.1), 2.0)
    _, before = run(optimizer, [1, 1.5])
    _, after = run(optimizer, [1, 1.5, 50])
    chex.assert_trees_all_equal(after.inner, before.inner)
    assert (before.skipped, after.skipped) == (0, 1)


def for_ever(optimizer, max_norm):
    """The rule without an end, as of the very deep VAE."""

    def update(grads, state, params):
        updates, new = optimizer.update(grads, state, params)
        skip = optax.tree.norm(grads) > max_norm
        updates = jax.tree.map(lambda u: jnp.where(skip, 0, u), updates)
        return updates, jax.tree.map(lambda n, s: jnp.where(skip, s, n), new, state)

    return optax.GradientTransformation(optimizer.init, update)


def watched(optimizer):
    """Remembers the shortest gradient."""

    def init(params):
        return jnp.float32(jnp.inf), optimizer.init(params)

    def update(grads, state, params):
        updates, inner = optimizer.update(grads, state[1], params)
        return updates, (jnp.minimum(state[0], optax.tree.norm(grads)), inner)

    return optax.GradientTransformation(init, update)


def test_with_every_gradient_above_the_threshold_the_model_learns_and_without_end_not():
    model, x = toy.small_vae(hidden=()), toy.bits(8)
    results = {}
    for rule in (for_ever, skip_large_gradients):
        optimizer = watched(rule(optax.sgd(0.1), 1e-2))
        state = init_state(jax.random.key(0), model, elbo(), optimizer, x)
        step = functools.partial(train_step, model, elbo(), optimizer)
        start = jax.device_get(state.params)
        epoch = jax.jit(functools.partial(train_epoch, step, 8))
        for _ in range(110):
            state, _ = epoch(state, data=x)
        shortest, _ = state.opt_state
        assert 1e-2 < shortest < jnp.inf
        moved = optax.tree.norm(optax.tree.sub(state.params, start))
        results[rule] = float(moved)
    assert results[for_ever] == 0
    # 10 steps of 0.1 times 0.01, of all 110, about in one direction.
    np.testing.assert_allclose(results[skip_large_gradients], 0.01, rtol=0.1)


@pytest.mark.parametrize("max_norm", [0, -1.0, float("nan"), float("inf")])
def test_a_threshold_that_is_none_is_an_error(max_norm):
    with pytest.raises(ValueError, match="max_norm must be positive"):
        skip_large_gradients(optax.sgd(0.1), max_norm)


def test_a_negative_number_of_steps_is_an_error():
    with pytest.raises(ValueError, match="at least 0, got -1"):
        skip_large_gradients(optax.sgd(0.1), 1.0, num_in_a_row=-1)
