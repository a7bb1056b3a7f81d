import jax
import numpy as np
import pytest

from vaejax.networks.made import made

DIM, NUM_PARAMS, CONTEXT_DIM = 4, 2, 3


def apart(hidden, context_dim):
    """Which number sees which coordinate and which context, by their derivatives."""
    network, rng = made(NUM_PARAMS, hidden=hidden), np.random.default_rng(0)
    shapes = jax.eval_shape(
        lambda key: network.init(key, DIM, context_dim), jax.random.key(0)
    )
    params = jax.tree.map(lambda leaf: rng.uniform(0.1, 1, leaf.shape), shapes)
    z, context = rng.normal(size=DIM), rng.normal(size=context_dim)
    if not context_dim:
        of_z = jax.jit(jax.jacobian(lambda z: network.apply(params, z, None)))
        return of_z(z), None
    both = jax.jit(jax.jacobian(lambda *args: network.apply(params, *args), (0, 1)))
    return both(z, context)


@pytest.mark.parametrize("hidden", [(), (7,), (4, 9)])
@pytest.mark.parametrize("context_dim", [0, CONTEXT_DIM])
def test_each_coordinates_numbers_see_those_before_it_and_all_of_the_context(
    hidden, context_dim
):
    by_z, by_context = apart(hidden, context_dim)
    before = np.tril(np.ones((DIM, DIM), bool), -1)
    seen = np.asarray(by_z) != 0  # [D, P, D]
    np.testing.assert_array_equal(seen, np.repeat(before[:, None], NUM_PARAMS, axis=1))
    if context_dim:
        assert (np.asarray(by_context) != 0).all()


def test_a_layer_narrower_than_the_vector_still_lets_nothing_see_itself():
    by_z, by_context = apart((2, 1), CONTEXT_DIM)
    after = np.triu(np.ones((DIM, DIM), bool))
    assert not (np.asarray(by_z) != 0).transpose(1, 0, 2)[:, after].any()
    assert (np.asarray(by_context)[-1] != 0).all()


def test_leading_axes_are_kept_and_the_context_broadcasts():
    network = made(NUM_PARAMS, hidden=(5,))
    params = network.init(jax.random.key(0), DIM, CONTEXT_DIM)
    rng = np.random.default_rng(1)
    z, context = rng.normal(size=(3, 2, DIM)), rng.normal(size=(2, CONTEXT_DIM))
    whole = network.apply(params, z, context)
    assert whole.shape == (3, 2, DIM, NUM_PARAMS)
    one = network.apply(params, z[1, 1], context[1])
    np.testing.assert_allclose(whole[1, 1], one, rtol=1e-5, atol=1e-7)


def test_widths_and_counts_below_1_are_errors():
    with pytest.raises(ValueError, match=r"hidden must be.*\(3, 0\)"):
        made(2, hidden=(3, 0))
    with pytest.raises(ValueError, match="num_params must be at least 1, got 0"):
        made(0)
