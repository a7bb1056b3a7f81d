"""Binarisation and dequantisation on the device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vaejax.data import binarize, dequantize, threshold, unit_interval

TRANSFORMS = [binarize, dequantize, threshold, unit_interval]
# 4.9 standard errors are exceeded once in a million; 6 leave room for 300 pixels.
NUM_ERRORS = 6


def test_binarize_draws_one_with_probability_x_over_scale() -> None:
    x = jnp.arange(17, dtype=jnp.uint8)
    num_draws = 20_000
    drawn = binarize(jax.random.key(0), jnp.tile(x, (num_draws, 1)), scale=16)
    assert set(np.unique(drawn)) == {0.0, 1.0}
    p = np.arange(17) / 16
    error = np.sqrt(p * (1 - p) / num_draws)
    print(f"smallest error caught: {NUM_ERRORS * error.max():.4f}")
    # 0 and the scale itself have no error at all: they are certain.
    assert (np.abs(np.asarray(drawn).mean(0) - p) <= NUM_ERRORS * error).all()


def test_pixels_and_images_are_drawn_independently() -> None:
    shape = (4000, 6)
    drawn = binarize(jax.random.key(1), jnp.full(shape, 8), scale=16)
    correlation = np.corrcoef(np.asarray(drawn).T) - np.eye(6)
    assert np.abs(correlation).max() < NUM_ERRORS / np.sqrt(4000)
    keys = jax.random.split(jax.random.key(2), 6)
    drawn = binarize(keys, jnp.full(shape[::-1], 8), scale=16)
    correlation = np.corrcoef(np.asarray(drawn)) - np.eye(6)
    assert np.abs(correlation).max() < NUM_ERRORS / np.sqrt(4000)


@pytest.mark.parametrize("transform", [binarize, dequantize])
def test_noise_of_an_example_depends_on_its_own_key_only(transform) -> None:
    keys = jax.random.split(jax.random.key(3), 8)
    x = jnp.asarray(np.random.default_rng(0).integers(0, 256, (8, 5, 4)), jnp.uint8)
    order = np.array([5, 0, 7, 2])
    data = jax.random.key_data(keys)
    whole = transform(jax.random.wrap_key_data(data), x, scale=255)
    part = transform(jax.random.wrap_key_data(data[order]), x[order], scale=255)
    np.testing.assert_array_equal(part, whole[order])
    alone = transform(jax.random.wrap_key_data(data[3]), x[3], scale=255)
    np.testing.assert_array_equal(alone, whole[3])


def test_threshold_and_unit_interval_need_no_key() -> None:
    x = np.array([[0, 7, 8, 9, 16]], np.uint8)
    np.testing.assert_array_equal(threshold(None, x, scale=16), [[0, 0, 0, 1, 1]])
    np.testing.assert_array_equal(unit_interval(None, x, scale=16), x / 16)
    bits = np.array([[True, False]])
    np.testing.assert_array_equal(threshold(None, bits, scale=1), bits)
    np.testing.assert_array_equal(unit_interval(None, bits, scale=1), bits)


def test_dequantize_is_uniform_within_the_step_and_stays_below_one() -> None:
    x = jnp.repeat(jnp.arange(256, dtype=jnp.uint8)[:, None], 400, axis=1)
    y = np.asarray(dequantize(jax.random.key(4), x, scale=255), np.float64)
    step = y * 256 - np.arange(256)[:, None]
    assert step.min() >= -1e-4  # float32 rounds
    assert step.max() <= 1 + 1e-4
    error = np.sqrt(1 / 12 / step.size)
    assert abs(step.mean() - 0.5) < NUM_ERRORS * error
    np.testing.assert_allclose(step.var(), 1 / 12, atol=NUM_ERRORS * 0.075 / 320)
    # Without care, 255 + u rounds to 256 eight times in a million.
    top = dequantize(jax.random.key(5), jnp.full(2_000_000, 255), scale=255)
    assert float(top.max()) < 1


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_every_transform_is_the_same_under_jit_and_float32(transform) -> None:
    keys = jax.random.split(jax.random.key(6), 3)
    data = jax.random.key_data(keys)
    x = jnp.arange(12, dtype=jnp.uint8).reshape(3, 4)
    eager = transform(jax.random.wrap_key_data(data), x, scale=16.0)
    jitted = jax.jit(lambda key, x, scale: transform(key, x, scale=scale))
    np.testing.assert_allclose(
        jitted(jax.random.wrap_key_data(data), x, 16.0), eager, rtol=1e-6
    )
    assert eager.dtype == jnp.float32
    assert eager.shape == x.shape
