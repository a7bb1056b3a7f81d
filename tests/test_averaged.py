"""The average of the parameters is the closed form, and training does not see it."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import vaejax
from tests import poison, toy
from vaejax import averaged, averaged_params
from vaejax.base import Objective
from vaejax.epoch import train_epoch
from vaejax.moving_average import toward
from vaejax.objectives import elbo
from vaejax.train import init_state, train_step

MODEL, OPTIMIZER, X = toy.small_vae(hidden=()), optax.adam(0.05), toy.bits()


def loss(key, model, params, x):
    """The ELBO, and a moving average beside it."""
    value, metrics = elbo().loss(key, model, params, x)
    seen = params["objective"]["moving_average"]["seen"]
    return value + toward(seen, x.mean() + seen, 0.5), metrics


OBJECTIVE = Objective(loss, lambda *_: {"moving_average": {"seen": jnp.ones(())}})


def path(optimizer, num_steps, objective=OBJECTIVE):
    """The states after each step, that before the first one too."""
    step = jax.jit(functools.partial(train_step, MODEL, objective, optimizer))
    states = [init_state(jax.random.key(0), MODEL, objective, optimizer, X)]
    for _ in range(num_steps):
        states.append(step(states[-1], X)[0])
    return states


def closed_form(decay, params):
    """The mean of p_1 ... p_t with weights decay^(t - i), in float64."""
    weights = decay ** np.arange(len(params))[::-1]
    weights /= weights.sum()
    return jax.tree.map(
        lambda *leaves: sum(
            w * np.asarray(p, float) for w, p in zip(weights, leaves, strict=True)
        ),
        *params,
    )


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_it_is_the_closed_form_and_training_goes_on_as_without_it(decay):
    states = path(averaged(OPTIMIZER, decay), 12)
    plain = path(OPTIMIZER, 12)
    chex.assert_trees_all_equal(averaged_params(states[0]), states[0].params)
    for num in (1, 2, 12):
        chex.assert_trees_all_close(
            states[num].params, plain[num].params, rtol=1e-5, atol=1e-6
        )
        expected = closed_form(decay, [state.params for state in states[1 : num + 1]])
        got = averaged_params(states[num])
        for part in ("posterior", "likelihood"):
            chex.assert_trees_all_close(got[part], expected[part], rtol=1e-5, atol=1e-6)
    if decay:
        gap = optax.tree.norm(optax.tree.sub(averaged_params(states[12]), plain[12][1]))
        assert gap > 0.01


def test_a_moving_average_is_not_averaged_again():
    state = path(averaged(OPTIMIZER, 0.9), 5)[-1]
    own, read = (
        params["objective"]["moving_average"]["seen"]
        for params in (state.params, averaged_params(state))
    )
    np.testing.assert_allclose(own, 1 + 5 * 0.5 * X.mean(), rtol=1e-6)
    assert read == own


def test_of_two_optimizers_one_may_average():
    optimizer = vaejax.optimizers(averaged(OPTIMIZER, 0.9), optax.sgd(0.1))
    states = path(optimizer, 4)
    expected = closed_form(0.9, [state.params for state in states[1:]])
    got = averaged_params(states[-1])
    for part in ("posterior", "likelihood"):
        chex.assert_trees_all_close(got[part], expected[part], rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_equal(got["objective"], states[-1].params["objective"])


def test_two_optimizers_may_average_each_its_own():
    def loss(key, model, params, x):
        value, metrics = elbo().loss(key, model, params, x)
        return value + (params["objective"]["weight"] - 3) ** 2, metrics

    objective = Objective(loss, lambda *_: {"weight": jnp.zeros(())})
    optimizer = vaejax.optimizers(
        averaged(OPTIMIZER, 0.9), averaged(optax.sgd(0.1), 0.5)
    )
    states = path(optimizer, 4, objective)[1:]
    got = averaged_params(states[-1])
    model, other = (
        closed_form(decay, [state.params for state in states]) for decay in (0.9, 0.5)
    )
    chex.assert_trees_all_close(
        got["likelihood"], model["likelihood"], rtol=1e-5, atol=1e-6
    )
    chex.assert_trees_all_close(got["objective"], other["objective"], rtol=1e-5)


def test_a_state_without_an_average_gives_its_parameters():
    state = path(OPTIMIZER, 1)[-1]
    assert averaged_params(state) is state.params


def test_a_step_that_is_not_finite_is_not_averaged():
    step = jax.jit(
        functools.partial(train_step, MODEL, poison.OBJECTIVE, averaged(OPTIMIZER, 0.9))
    )
    state = init_state(jax.random.key(0), MODEL, elbo(), averaged(OPTIMIZER, 0.9), X)
    state, _ = step(state, poison.batch(X))
    after, _ = step(state, poison.batch(X, 1, poison.NAN))
    chex.assert_trees_all_equal(averaged_params(after), averaged_params(state))
    assert after.opt_state.num_steps == 1


def test_it_may_be_donated_and_saved_with_the_state(tmp_path):
    optimizer = averaged(OPTIMIZER, 0.9)
    step = functools.partial(train_step, MODEL, elbo(), optimizer)
    epoch = jax.jit(functools.partial(train_epoch, step, 8), donate_argnums=0)
    state = init_state(jax.random.key(0), MODEL, elbo(), optimizer, X)
    state, _ = epoch(state, data=X)
    with vaejax.checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state)
        fresh = init_state(jax.random.key(1), MODEL, elbo(), optimizer, X)
        restored, _ = checkpoints.restore(fresh)
    chex.assert_trees_all_equal(averaged_params(restored), averaged_params(state))


@pytest.mark.parametrize("decay", [-0.1, 1, 1.0, float("nan")])
def test_a_decay_that_is_none_is_an_error(decay):
    with pytest.raises(ValueError, match="decay must be"):
        averaged(OPTIMIZER, decay)


def test_it_needs_the_parameters():
    optimizer = averaged(optax.sgd(0.1), 0.9)
    with pytest.raises(ValueError, match="needs the parameters"):
        optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)))
