import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests import toy
from vaejax.objectives import elbo
from vaejax.schedules import constant, cyclical, linear, warmup_end


def test_the_constant_is_1():
    np.testing.assert_array_equal(constant()(jnp.arange(3)), 1)
    assert constant()(7) == 1


def test_the_warm_up_rises_in_a_line_and_stays():
    got = jax.jit(linear(num_warmup_steps=4))(jnp.arange(7))
    np.testing.assert_allclose(got, [0, 0.25, 0.5, 0.75, 1, 1, 1])
    got = linear(num_warmup_steps=2, start=0.5)(jnp.arange(4))
    np.testing.assert_allclose(got, [0.5, 0.75, 1, 1])


def test_a_warm_up_may_be_longer_than_any_run():
    assert linear(num_warmup_steps=10**10)(jnp.int32(100)) == np.float32(1e-8)


def test_the_warm_up_is_that_of_optax():
    steps = jnp.arange(12)
    expected = optax.linear_schedule(0.2, 1.0, 10)(steps)
    got = linear(num_warmup_steps=10, start=0.2)(steps)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_a_cycle_rises_stays_and_repeats():
    got = jax.jit(cyclical(num_cycle_steps=4))(jnp.arange(9))
    np.testing.assert_allclose(got, [0, 0.5, 1, 1, 0, 0.5, 1, 1, 0])
    got = cyclical(num_cycle_steps=4, ramp=1.0)(jnp.arange(6))
    np.testing.assert_allclose(got, [0, 0.25, 0.5, 0.75, 0, 0.25])


@pytest.mark.parametrize(
    "schedule",
    [linear(num_warmup_steps=3), optax.cosine_decay_schedule(1.0, 3)],
    ids=["linear", "optax"],
)
def test_an_objective_built_in_the_step_follows_any_schedule_in_one_program(schedule):
    model, x = toy.small_vae(), toy.bits(8)
    params = model.init(jax.random.key(0), x)

    @jax.jit
    def loss(step):
        return elbo(beta=schedule(step)).loss(toy.keys(0, 8), model, params, x)

    for step in range(4):
        value, metrics = loss(jnp.int32(step))
        expected = metrics["distortion"] + float(schedule(step)) * metrics["rate"]
        np.testing.assert_allclose(value, expected, rtol=1e-6)
    assert loss._cache_size() == 1


@pytest.mark.parametrize(
    ("make", "flags", "message"),
    [
        (linear, {"num_warmup_steps": 0}, r"num_warmup_steps.*at least 1, got 0"),
        (linear, {"num_warmup_steps": 9, "start": -1.0}, r"start must be at least 0"),
        (linear, {"num_warmup_steps": 9, "start": float("nan")}, r"start must.*nan"),
        (cyclical, {"num_cycle_steps": 0}, r"num_cycle_steps.*at least 1.*got 0"),
        (cyclical, {"num_cycle_steps": 2**31}, r"num_cycle_steps.*below 2\^31"),
        (cyclical, {"num_cycle_steps": 9, "ramp": 0.0}, r"ramp.*above 0.*got 0"),
        (cyclical, {"num_cycle_steps": 9, "ramp": 1.5}, r"ramp.*at most 1, got 1.5"),
    ],
)
def test_a_bad_argument_is_an_error(make, flags, message):
    with pytest.raises(ValueError, match=message):
        make(**flags)


def test_a_warmup_ends_where_the_factor_is_full_or_with_the_run():
    for schedule, end in (
        (constant(), 0),
        (linear(num_warmup_steps=30), 30),
        (linear(num_warmup_steps=30, start=20.0), 30),
        (linear(num_warmup_steps=500), 99),
        (cyclical(num_cycle_steps=40), 20),
        (cyclical(num_cycle_steps=40, ramp=1.0), 39),
        (optax.linear_schedule(0.0, 1.0, 7), 7),
    ):
        assert warmup_end(schedule, 100) == end
