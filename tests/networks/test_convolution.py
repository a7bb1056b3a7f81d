"""The products are lax's convolutions, and so are their gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vaejax.networks import convolution
from vaejax.networks.convolution import convolve, convolve_transposed

# kernel, stride, height, width, channels in, channels out
CASES = [
    (4, 2, 8, 8, 1, 3),
    (4, 2, 7, 9, 3, 5),
    (4, 2, 5, 6, 8, 2),
    (3, 1, 6, 5, 2, 4),
    (3, 3, 7, 8, 2, 3),
    (2, 1, 4, 5, 2, 3),
]


def close(a, b):
    for mine, theirs in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5 * scale)


def with_gradients(function, *args):
    """The value, and the gradients of a function of it that is not linear."""

    @jax.jit
    def both(*args):
        value = function(*args)
        inner = jax.grad(lambda *a: jnp.sum(jnp.sin(function(*a))), (0, 1))
        return value, inner(*args)

    return both(*args)


@pytest.mark.parametrize(("k", "stride", "height", "width", "num_in", "num_out"), CASES)
def test_values_and_gradients_are_those_of_lax(
    k, stride, height, width, num_in, num_out
):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, height, width, num_in)).astype(np.float32)
    kernel = rng.normal(size=(k, k, num_in, num_out)).astype(np.float32)
    close(
        with_gradients(lambda x, kernel: convolve(x, kernel, stride), x, kernel),
        with_gradients(
            lambda x, kernel: convolution._by_lax(x, kernel, stride), x, kernel
        ),
    )
    small = (2, -(-height // stride), -(-width // stride), num_out)
    y = rng.normal(size=small).astype(np.float32)
    size = (height, width)
    close(
        with_gradients(
            lambda y, kernel: convolve_transposed(y, kernel, size, stride), y, kernel
        ),
        with_gradients(
            lambda y, kernel: convolution._transposed_by_lax(y, kernel, size, stride),
            y,
            kernel,
        ),
    )


def test_lax_itself_is_the_sum_of_its_definition():
    rng = np.random.default_rng(1)
    x, kernel = rng.normal(size=(1, 4, 4, 1)), rng.normal(size=(4, 4, 1, 1))
    got = convolution._by_lax(jnp.asarray(x), jnp.asarray(kernel), 2)
    padded = np.pad(x[0, :, :, 0], 1)
    for i in range(2):
        for j in range(2):
            window = padded[2 * i : 2 * i + 4, 2 * j : 2 * j + 4]
            expected = (window * kernel[:, :, 0, 0]).sum()
            np.testing.assert_allclose(got[0, i, j, 0], expected, rtol=1e-5)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="asks what a CPU is given")
def test_a_compiled_step_on_the_cpu_has_no_convolution():
    def loss(kernel, x):
        small = jnp.tanh(convolve(x, kernel, 2))
        return jnp.sum(convolve_transposed(small, kernel, (7, 7), 2) ** 2)

    x, kernel = jnp.ones((2, 7, 7, 3)), jnp.ones((4, 4, 3, 2))
    text = jax.jit(jax.grad(loss)).lower(kernel, x).compile().as_text()
    assert " dot(" in text
    assert "convolution(" not in text
    assert "conditional(" not in text


@pytest.mark.parametrize("shape", [(4, 4, 1, 1), (3, 4, 1, 1)])
def test_a_kernel_that_the_stride_does_not_divide_is_refused(shape):
    with pytest.raises(ValueError, match="multiple of the stride"):
        convolve(jnp.ones((1, 8, 8, 1)), jnp.ones(shape), 3)
