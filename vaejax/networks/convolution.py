"""Strided convolutions and their transposes, fast on every platform.

Inside a compiled loop XLA's convolution is ten times slower on a CPU than outside, so
there a convolution is written as matrix products: with a kernel of k x k and stride s,
windows of k columns are gathered from every row, those of each row of a block of s
multiplied by the k / s slices of the kernel that meet it, side by side, and the
products of neighbouring blocks added. Nothing is transposed. Other platforms use
`lax.conv_general_dilated`. `lax.platform_dependent` chooses when a program is lowered;
the numbers are the same to rounding, and so are the gradients.
"""

import functools
import math
import operator

import jax
import jax.numpy as jnp
from jax import lax

LAYOUT = ("NHWC", "HWIO", "NHWC")
FEW = 16  # numbers in s windows; up to it all slices are gathered, a wider product


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
    k, _, num_in, num_out = kernel.shape
    windows, depth = _gathered(x, k, stride), k * num_in
    slices = _slices(x.shape[1], k, stride)
    if stride * depth <= FEW:
        whole = [
            _pad(rows, {1: (-d, d), 3: (i * depth, (k - 1 - i) * depth)})
            for rows, taps in zip(windows, slices, strict=True)
            for i, d in taps
        ]
        return _product(_total(whole), kernel.reshape(k * depth, num_out))
    shifted = []
    for rows, taps in zip(windows, slices, strict=True):
        matrices = [kernel[i].reshape(depth, num_out) for i, _ in taps]
        parts = _product(rows, jnp.concatenate(matrices, axis=1))
        for part, (_, d) in zip(jnp.split(parts, len(taps), 3), taps, strict=True):
            shifted.append(_pad(part, {1: (-d, d)}))
    return _total(shifted)


def _transposed_by_product(
    x: jax.Array, kernel: jax.Array, size: tuple[int, int], stride: int
) -> jax.Array:
    k, _, num_out, num_in = kernel.shape
    windows = []
    for taps in _slices(size[0], k, stride):
        last = len(taps) - 1
        near = [
            _pad(x, {1: (d, -d), 3: (j * num_in, (last - j) * num_in)})
            for j, (_, d) in enumerate(taps)
        ]
        matrices = [kernel[i].reshape(k * num_out, num_in) for i, _ in taps]
        matrix = jnp.concatenate(matrices, axis=1).T
        windows.append(_product(_total(near), matrix))
    return _scattered(windows, k, stride, size)


def _slices(height: int, k: int, stride: int) -> list[list[tuple[int, int]]]:
    """For each row of a block, the kernel's rows that meet it, and how far away.

    Kernel row i of output row y reads row (i - top) mod s of block y + (i - top) // s.
    """
    top, _ = _border(height, k, stride)
    return [
        [(i, (i - top) // stride) for i in range(k) if (i - top) % stride == row]
        for row in range(stride)
    ]


def _gathered(x: jax.Array, k: int, stride: int) -> list[jax.Array]:
    """Windows of k columns: `[N, H, W, C]` to `[N, H', W', k C]` for each block row."""
    n, height, width, num_in = x.shape
    tall, wide = -(-height // stride), -(-width // stride)
    below = tall * stride - height
    x = _pad(x, {1: (0, below), 2: _border(width, k, stride)})
    blocks = x.reshape(n, tall, stride, -1, stride * num_in)
    num, depth = k // stride, stride * num_in
    return [
        _total(
            [
                _pad(
                    blocks[:, :, row, i : i + wide],
                    {3: (i * depth, (num - 1 - i) * depth)},
                )
                for i in range(num)
            ]
        )
        for row in range(stride)
    ]


def _scattered(
    windows: list[jax.Array], k: int, stride: int, size: tuple[int, int]
) -> jax.Array:
    """The transpose of `_gathered`: to `[N, H, W, F]`."""
    n, tall, _, depth = windows[0].shape
    num = k // stride
    rows = [
        _total(
            [
                _pad(part, {2: (i, num - 1 - i)})
                for i, part in enumerate(jnp.split(window, num, axis=3))
            ]
        )
        for window in windows
    ]
    image = jnp.stack(rows, axis=2).reshape(n, tall * stride, -1, depth // k)
    left, _ = _border(size[1], k, stride)
    return image[:, : size[0], left : left + size[1]]


def _total(terms: list[jax.Array]) -> jax.Array:
    """Their sum. Of padded terms XLA makes one loop; of `concatenate` a slow one."""
    return functools.reduce(operator.add, terms)


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
