r"""Log masses of counts, written so that no large terms cancel.

The textbook mass of a Poisson, :math:`x \log m - m - \log x!`, is a small difference of
large numbers: at 10,000 counts float32 is off by 0.01 nats. With Stirling's formula the
large parts cancel on paper, and what is left is small where the mass is not:

.. math:: \log p(x) = -D(x, m) - S(x)

References:
  Loader, 2000, Fast and accurate computation of binomial probabilities.
"""

import functools
import math
import operator

import jax
import jax.numpy as jnp

LARGE = 8.0  # from here on the series is exact to 1e-11
STEPS = range(1, 9)  # the whole numbers up to it
TINY = 1e-30  # in place of 0 where its logarithm is multiplied by 0


def remainder(x: jax.Array) -> jax.Array:
    r""":math:`S(x) = \log \Gamma(x + 1) - x \log x + x` for x at least 0; S(0) = 0.

    It grows as :math:`\frac12 \log 2 \pi x`, the start of Stirling's series. A small x
    goes there by :math:`\Gamma(x + 9) = (x + 1) \cdots (x + 8)\, \Gamma(x + 1)`.
    """
    is_small = x < LARGE
    y = jnp.where(is_small, x + LARGE, x)
    square = 1 / y**2
    tail = 1 / 12 + square * (-1 / 360 + square * (1 / 1260 - square / 1680))
    series = 0.5 * jnp.log(2 * math.pi * y) + tail / y
    small = jnp.where(is_small, jnp.maximum(x, TINY), 1)
    factors = [(small + i) / (small + LARGE) for i in STEPS]
    back = small * jnp.log1p(LARGE / small) - LARGE
    back = back - jnp.log(functools.reduce(operator.mul, factors))
    return series + jnp.where(is_small, back, 0)


def gamma_remainder(x: jax.Array) -> jax.Array:
    r""":math:`\log \Gamma(x) - x \log x + x` for x above 0."""
    return remainder(x) - jnp.log(x)


def deviance(x: jax.Array, m: jax.Array) -> jax.Array:
    r""":math:`D(x, m) = x \log(x / m) - x + m` for x at least 0 and m above 0.

    It is 0 at x = m only, where all its digits are kept.
    """
    gap = x - m
    near = jnp.abs(gap) < 0.5 * m
    close = jnp.log1p(jnp.where(near, gap, 0) / m)
    far = jnp.log(jnp.maximum(x, TINY)) - jnp.log(m)  # 0 log 0 = 0
    return x * jnp.where(near, close, far) - gap
