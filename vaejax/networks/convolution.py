"""Strided convolutions and their transposes, fast on every platform.

Inside a compiled loop XLA's convolution is ten times slower on a CPU than outside, so
there a convolution is written as one matrix product: with a kernel of k x k and stride
s, blocks of s rows by k columns are gathered once, multiplied by the k / s slices of
the kernel side by side, and the products of neighbouring blocks added. Other platforms
use `lax.conv_general_dilated`. `lax.platform_dependent` chooses when a program is
lowered; the numbers are the same to rounding, and so are the gradients.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

LAYOUT = ("NHWC", "HWIO", "NHWC")
FEW = 16  # numbers in a block; below it all slices are gathered, for a wider product


def convolve(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    """A convolution with zeros beyond the border ("SAME").

    Args:
      x: `[N, H, W, C]`.
      kernel: `[k, k, C, F]`, k a multiple of the stride.
      stride: s, at least 1.

    Returns:
      `[N, ceil(H / s), ceil(W / s), F]`.
    """
    _check(kernel, stride)
    return lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: _by_product(x, kernel, stride),
        default=lambda x, kernel: _by_lax(x, kernel, stride),
    )


def convolve_transposed(
    x: jax.Array, kernel: jax.Array, size: tuple[int, int], stride: int = 1
) -> jax.Array:
    """The transpose of `convolve`, which takes small images to large ones.

    Args:
      x: `[N, ceil(H / s), ceil(W / s), C]`.
      kernel: `[k, k, F, C]`, k a multiple of the stride.
      size: H and W.
      stride: s, at least 1.

    Returns:
      `[N, H, W, F]`.
    """
    _check(kernel, stride)
    return lax.platform_dependent(
        x,
        kernel,
        cpu=lambda x, kernel: _transposed_by_product(x, kernel, size, stride),
        default=lambda x, kernel: _transposed_by_lax(x, kernel, size, stride),
    )


def _check(kernel: jax.Array, stride: int) -> None:
    k, width, *_ = kernel.shape
    if stride < 1 or k % stride or k != width:
        raise ValueError(
            "A kernel must be square and its size a multiple of the stride, got "
            f"{k} x {width} and stride {stride}."
        )


def _by_lax(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    strides = (stride, stride)
    return lax.conv_general_dilated(
        x, kernel, strides, "SAME", dimension_numbers=LAYOUT
    )


def _transposed_by_lax(
    x: jax.Array, kernel: jax.Array, size: tuple[int, int], stride: int
) -> jax.Array:
    out = jax.ShapeDtypeStruct((x.shape[0], *size, kernel.shape[2]), x.dtype)
    (image,) = jax.linear_transpose(lambda y: _by_lax(y, kernel, stride), out)(x)
    return image


def _by_product(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    k, _, _, num_out = kernel.shape
    blocks = _gathered(x, k, stride)  # [N, G, W', s k C]
    num, depth = k // stride, blocks.shape[-1]  # slices of the kernel
    height = blocks.shape[1] - num + 1
    if depth <= FEW:
        rows = [
            _pad(blocks[:, i : i + height], {3: (i * depth, (num - 1 - i) * depth)})
            for i in range(num)
        ]
        return _product(sum(rows[1:], start=rows[0]), kernel.reshape(-1, num_out))
    slices = kernel.reshape(num, depth, num_out).transpose(1, 0, 2)
    parts = _product(blocks, slices.reshape(depth, num * num_out))
    shifted = [
        parts[:, i : i + height, :, i * num_out : (i + 1) * num_out] for i in range(num)
    ]
    return sum(shifted[1:], start=shifted[0])


def _transposed_by_product(
    x: jax.Array, kernel: jax.Array, size: tuple[int, int], stride: int
) -> jax.Array:
    k, _, num_out, num_in = kernel.shape
    num = k // stride
    shifted = [
        _pad(x, {1: (i, num - 1 - i), 3: (i * num_in, (num - 1 - i) * num_in)})
        for i in range(num)
    ]
    slices = kernel.reshape(num, stride * k * num_out, num_in).transpose(0, 2, 1)
    matrix = slices.reshape(num * num_in, stride * k * num_out)
    blocks = _product(sum(shifted[1:], start=shifted[0]), matrix)
    return _scattered(blocks, k, stride, size)


def _gathered(x: jax.Array, k: int, stride: int) -> jax.Array:
    """Blocks of s rows by k columns: `[N, H, W, C] -> [N, G, W', s k C]`."""
    n, height, width, num_in = x.shape
    x = _pad(x, {1: _border(height, k, stride), 2: _border(width, k, stride)})
    num = k // stride
    groups, columns = x.shape[1] // stride, x.shape[2] // stride
    x = x.reshape(n, groups, stride, columns, 1, stride, num_in)
    wide = columns - num + 1
    taps = [_pad(x[:, :, :, i : i + wide], {4: (i, num - 1 - i)}) for i in range(num)]
    blocks = sum(taps[1:], start=taps[0]).transpose(0, 1, 3, 2, 4, 5, 6)
    return blocks.reshape(n, groups, wide, stride * k * num_in)


def _scattered(
    blocks: jax.Array, k: int, stride: int, size: tuple[int, int]
) -> jax.Array:
    """The transpose of `_gathered`: `[N, G, W', s k F] -> [N, H, W, F]`."""
    n, groups, wide, _ = blocks.shape
    num = k // stride
    taps = blocks.reshape(n, groups, wide, stride, num, stride, -1)
    taps = taps.transpose(0, 1, 3, 2, 4, 5, 6)
    parts = [_pad(taps[:, :, :, :, i], {3: (i, num - 1 - i)}) for i in range(num)]
    image = sum(parts[1:], start=parts[0])
    image = image.reshape(n, groups * stride, -1, image.shape[-1])
    (top, _), (left, _) = (_border(length, k, stride) for length in size)
    return image[:, top : top + size[0], left : left + size[1]]


def _border(length: int, k: int, stride: int) -> tuple[int, int]:
    """Zeros before and after `length` pixels, as lax has them for "SAME"."""
    total = -(-length // stride) * stride + k - stride - length
    return total // 2, total - total // 2


def _pad(x: jax.Array, axes: dict[int, tuple[int, int]]) -> jax.Array:
    pads = [(*axes.get(axis, (0, 0)), 0) for axis in range(x.ndim)]
    return lax.pad(x, jnp.zeros((), x.dtype), pads)


def _product(blocks: jax.Array, matrix: jax.Array) -> jax.Array:
    """`[..., D] x [D, F]`; the CPU's product is fastest on the layouts given here."""
    lead, (depth, num_out) = blocks.shape[:-1], matrix.shape
    flat = blocks.reshape(math.prod(lead), depth)
    if depth > num_out:
        turned = lax.optimization_barrier(matrix.T)
        out = lax.dot_general(flat, turned, (((1,), (1,)), ((), ())))
    else:
        out = flat @ lax.optimization_barrier(matrix)
    return out.reshape(*lead, num_out)
