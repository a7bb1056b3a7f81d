"""What every row of the contract table keeps, on one device."""

import jax
import numpy as np
import pytest

import vaejax
from tests.rows import BATCH, ROWS


@pytest.mark.parametrize(("objective", "model", "x"), ROWS.values(), ids=ROWS)
def test_one_finite_loss_an_example_and_a_gradient_for_every_parameter(
    objective, model, x
):
    params = model.init(jax.random.key(0), x)
    params |= {"objective": objective.init(jax.random.key(1), model, params, x)}
    weak = [
        p for p, leaf in jax.tree_util.tree_leaves_with_path(params) if leaf.weak_type
    ]
    assert not weak, f"{weak}: a step gives them a type, and is compiled again"

    def loss(params, seed):
        keys = jax.random.split(jax.random.key(seed), BATCH)
        return objective.loss(keys, model, params, x)

    @jax.jit
    def everything(params, seed):
        def mean(params):
            value, metrics = loss(params, seed)
            return value.mean(), (value, metrics)

        (_, terms), grads = jax.value_and_grad(mean, has_aux=True)(params)
        return terms, grads

    (value, metrics), grads = everything(params, 3)
    for name, array in {"loss": value, **metrics}.items():
        assert array.shape == (BATCH,), name
        assert np.isfinite(array).all(), name
    for path, grad in jax.tree_util.tree_leaves_with_path(grads):
        name = jax.tree_util.keystr(path)
        assert np.isfinite(grad).all(), name
        assert np.abs(grad).max() > 0, f"no gradient reaches {name}"

    eager, own = loss(params, 3)
    np.testing.assert_allclose(eager, value, rtol=1e-5)
    assert set(own) == set(metrics)
    for name in own:
        np.testing.assert_allclose(own[name], metrics[name], rtol=1e-4, atol=1e-6)

    again = everything(params, 3)[0][0]
    np.testing.assert_array_equal(value, again)
    other = everything(params, 4)[0][0]
    fixed = isinstance(model, vaejax.Model) and isinstance(
        model.encode(params, x), vaejax.distributions.PointMass
    )
    assert np.array_equal(value, other) == fixed
    assert everything._cache_size() == 1
