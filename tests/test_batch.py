"""What a step knows of parallelism, with and without a bound axis."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import toy
from vaejax.batch import (
    AXIS,
    Shared,
    batch_size,
    example_keys,
    global_batch,
    global_key,
    global_mean,
    local_rows,
)


def on_devices(function, *args):
    """Every device's own result, `[4, ...]`."""
    return jax.pmap(function, axis_name=AXIS, devices=jax.devices()[:4])(*args)


def data(keys):
    return jax.random.key_data(keys)


def test_without_a_bound_axis_the_batch_is_the_global_batch():
    x = jnp.arange(6.0)
    assert global_batch(x) is x
    assert global_mean(x) is x
    assert local_rows(x) is x
    assert batch_size({"value": jnp.ones((5, 2)), "mask": jnp.ones(5)}) == 5


def test_every_example_has_a_key_from_its_index_in_the_global_batch():
    alone = data(example_keys(jax.random.key(0), 8))
    assert len(np.unique(alone, axis=0)) == 8
    np.testing.assert_array_equal(data(example_keys(jax.random.key(0), 5)), alone[:5])
    shares = on_devices(
        lambda _: data(example_keys(jax.random.key(0), 2)), jnp.arange(4)
    )
    np.testing.assert_array_equal(shares.reshape(8, 2), alone)


def test_on_4_devices_the_whole_is_gathered_averaged_and_shared_in_order():
    x = jnp.arange(24.0).reshape(8, 3)

    def own(share):
        return global_batch({"x": share}), global_mean(share), local_rows(x)

    whole, mean, share = on_devices(own, x.reshape(4, 2, 3))
    for device in range(4):
        np.testing.assert_array_equal(whole["x"][device], x)
        np.testing.assert_array_equal(mean[device], x.reshape(4, 2, 3).mean(axis=0))
    np.testing.assert_array_equal(share.reshape(8, 3), x)


def test_all_devices_share_the_key_of_the_first_example():
    keys = toy.keys(0, 8)

    def own(share):
        return data(global_key(jax.random.wrap_key_data(share)))

    shared = on_devices(own, data(keys).reshape(4, 2, 2))
    np.testing.assert_array_equal(shared, np.tile(data(keys)[0], (4, 1)))
    np.testing.assert_array_equal(data(global_key(keys)), data(keys)[0])
    one = jax.random.key(3)
    assert global_key(one) is one


def test_what_is_shared_has_no_rows_to_gather():
    own = toy.bits(3, 2)

    def gathered(share):
        return global_batch({"x": share, "params": Shared({"own": own})})

    whole = on_devices(gathered, jnp.arange(8.0).reshape(4, 2))
    for device in range(4):
        np.testing.assert_array_equal(whole["x"][device], jnp.arange(8.0))
        np.testing.assert_array_equal(whole["params"].tree["own"][device], own)


def test_a_gathered_batch_passes_gradients_to_the_device_that_owns_the_row():
    x = toy.bits(8, 3)

    def own(share):
        return jax.grad(lambda share: (global_batch(share).sum() ** 2) / 4)(share)

    got = on_devices(own, x.reshape(4, 2, 3)).reshape(8, 3)
    expected = jax.grad(lambda x: x.sum() ** 2)(x)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_a_batch_that_the_devices_do_not_divide_is_an_error():
    with pytest.raises(ValueError, match=r"10.*4 devices"):
        on_devices(lambda _: local_rows(jnp.arange(10)), jnp.arange(4))
