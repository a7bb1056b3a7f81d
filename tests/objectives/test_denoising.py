import jax
import jax.numpy as jnp
import numpy as np

import vaejax
from tests import toy
from vaejax.base import Objective, split
from vaejax.objectives import denoising, elbo, masked, reconstruction

EXACT = toy.linear_gaussian()
MODEL, X = EXACT.model(), EXACT.draw(16)


def test_without_corruption_it_is_the_objective_itself():
    params = EXACT.params(0.5)
    loss, metrics = denoising(elbo(), lambda key, x: x).loss(
        toy.keys(0, 16), MODEL, params, X
    )
    _, inner = split(toy.keys(0, 16))
    expected, own = elbo().loss(inner, MODEL, params, X)
    np.testing.assert_array_equal(loss, expected)
    np.testing.assert_array_equal(metrics["rate"], own["rate"])


def test_the_encoder_sees_the_corrupted_example_and_the_target_is_clean():
    params = EXACT.params(0.5, 1e-3 / EXACT.scale().min())
    loss, _ = denoising(reconstruction(), lambda key, x: x + 2).loss(
        toy.keys(0, 16), MODEL, params, X
    )
    z = EXACT.loc(X + 2) + 0.5 * EXACT.scale()
    expected = -toy.log_normal(X, z @ EXACT.weight + EXACT.bias, EXACT.noise)
    np.testing.assert_allclose(loss, expected, rtol=0.01)  # the posterior's width


def test_the_corruption_has_a_key_for_each_example_that_nothing_else_uses():
    seen = []

    def corruption(key, x):
        seen.append(jax.random.key_data(key))
        return x + jax.vmap(lambda key: jax.random.normal(key, (4,)))(key)

    def spy(key, model, params, x):
        seen.append(jax.random.key_data(key))
        return elbo().loss(key, model, params, x)

    objective = denoising(Objective(spy), corruption)
    objective.loss(toy.keys(0, 16), MODEL, EXACT.params(), X)
    assert [data.shape for data in seen] == [(16, 2)] * 2
    assert len(np.unique(np.concatenate(seen), axis=0)) == 32


def test_what_the_objective_learns_stays_its_own():
    def init(key, model, params, x):
        return {"weight": jnp.ones(())}

    learns = elbo()._replace(init=init)
    assert denoising(learns, lambda key, x: x).init is init


def test_around_or_inside_a_mask_hidden_values_reach_nothing():
    model, params = vaejax.missing.mask_blind(MODEL), EXACT.params(0.5)
    mask = jnp.arange(X.size).reshape(X.shape) % 4 > 0
    noise = jax.random.normal(jax.random.key(3), X.shape)

    def corruption(key, x):
        return (x[0] + noise, x[1]) if isinstance(x, tuple) else x + noise

    for objective in (
        masked(denoising(elbo(), corruption)),
        denoising(masked(elbo()), corruption),
    ):
        losses = [
            objective.loss(
                toy.keys(0, 16), model, params, (jnp.where(mask, X, hidden), mask)
            )[0]
            for hidden in (0.0, 1000.0, jnp.nan)
        ]
        np.testing.assert_array_equal(losses[0], losses[1])
        np.testing.assert_array_equal(losses[0], losses[2])
