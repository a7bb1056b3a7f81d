r"""The maximum mean discrepancy between two laws, from a set of draws of each.

.. math:: \mathrm{MMD}^2 = E\, k(x, x') + E\, k(y, y') - 2\, E\, k(x, y)

It is 0 for equal laws and, with the kernels below, for no others. A kernel is a
function of the squared distance alone, summed over scales s in units of 2 D, the mean
squared distance between two draws of N(0, I) in D dimensions.

References:
  Gretton et al., 2012, A kernel two-sample test, JMLR 13.
  Tolstikhin et al., 2018, https://arxiv.org/abs/1711.01558 (kernels and scales).
"""

import math
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

Kernel = Callable[[jax.Array, jax.Array], jax.Array]  # [N, D], [M, D] -> [N, M]


def rbf(squared: jax.Array, width: float) -> jax.Array:
    """The radial basis function, a normal's shape of variance `width` / 2."""
    return jnp.exp(-squared / width)


def inverse_multiquadratic(squared: jax.Array, width: float) -> jax.Array:
    """The inverse multiquadratic, whose heavy tails pull on far codes too."""
    return width / (width + squared)


SHAPES = {"rbf": rbf, "inverse_multiquadratic": inverse_multiquadratic}


def kernel_of(name: str, scales: float | tuple[float, ...]) -> Kernel:
    """The kernel of this shape, summed over the scales.

    Args:
      name: "rbf" or "inverse_multiquadratic".
      scales: at least one, positive; many cover codes that are far or near.

    Raises:
      ValueError: if the name is unknown, or a scale is not a positive number.
    """
    if name not in SHAPES:
        raise ValueError(f"kernel must be {' or '.join(SHAPES)}, got {name!r}.")
    scales = (scales,) if isinstance(scales, int | float) else tuple(scales)
    if not scales or not all(0 < scale < math.inf for scale in scales):
        raise ValueError(f"scales must be positive and finite numbers, got {scales}.")

    def kernel(x: jax.Array, y: jax.Array) -> jax.Array:
        squared = ((x[:, None] - y) ** 2).sum(axis=-1)  # [N, M]
        unit = 2 * x.shape[-1]
        return sum(
            (SHAPES[name](squared, unit * scale) for scale in scales),
            start=jnp.zeros_like(squared),
        )

    return kernel


def u_statistic(kernel: Kernel, x: jax.Array, y: jax.Array) -> jax.Array:
    """An unbiased estimate of the MMD^2, which may be negative: `[]`.

    Args:
      kernel: any.
      x: draws of one law, `[N, D]`, at least 2.
      y: draws of the other, `[N, D]`.

    Raises:
      AssertionError: if the shapes differ.
      ValueError: if there is one draw only.
    """
    chex.assert_equal_shape([x, y])
    num, _ = x.shape
    if num < 2:
        raise ValueError('The U-statistic needs 2 examples, got 1: use statistic="v".')
    within = jnp.where(jnp.eye(num, dtype=bool), 0, kernel(x, x) + kernel(y, y))
    return within.sum() / (num * (num - 1)) - 2 * kernel(x, y).mean()


def v_statistic(kernel: Kernel, x: jax.Array, y: jax.Array) -> jax.Array:
    """The MMD^2 of the sets themselves, never negative: `[]`.

    Of order 1 / N too large as an estimate, and 0 for a set and itself. Arguments as
    those of `u_statistic`.
    """
    chex.assert_equal_shape([x, y])
    return (kernel(x, x) + kernel(y, y) - 2 * kernel(x, y)).mean()


STATISTICS = {"u": u_statistic, "v": v_statistic}


def mmd(
    name: str, scales: float | tuple[float, ...], statistic: str
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """The statistic of a kernel: a function of x and y, `[N, D]` each.

    Raises:
      ValueError: if a name is unknown or a scale is not a positive number.
    """
    if statistic not in STATISTICS:
        raise ValueError(f"statistic must be 'u' or 'v', got {statistic!r}.")
    kernel = kernel_of(name, scales)
    return lambda x, y: STATISTICS[statistic](kernel, x, y)
