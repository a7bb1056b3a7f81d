"""The monotone rational-quadratic spline."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from vaejax.flows.elementwise import LOG_BOUND, Elementwise, soft_bound

LEAST = 0.1  # of an even share: how narrow or low a bin may be


class Bin(NamedTuple):
    """The bin in which a coordinate lies, each `[...]`."""

    x: jax.Array  # of its left knot
    y: jax.Array
    width: jax.Array
    height: jax.Array
    left: jax.Array  # slopes at its knots
    right: jax.Array


def rational_quadratic(num_bins: int, bound: float) -> Elementwise:
    r"""A spline from :math:`[-b, b]` onto itself; the identity outside.

    In a bin from :math:`(x_k, y_k)`, with slopes :math:`d_k` at the knots, the mean
    slope s and :math:`\xi = (z - x_k) / w_k`,

    .. math:: z' = y_k + h_k \frac{s \xi^2 + d_k \xi (1 - \xi)}
                  {s + (d_{k+1} + d_k - 2 s) \xi (1 - \xi)}

    Its numbers are K widths and K heights before a softmax, and K - 1 log slopes at
    the inner knots; at the ends the slope is 1. No bin is narrower or lower than 0.1
    of an even one and no slope at a knot beyond 0.05 to 20, so that float32 can invert
    it.

    Args:
      num_bins: K, at least 2.
      bound: b, positive.
    """

    def find(params: jax.Array, z: jax.Array, vertical: bool) -> Bin:
        """The bin of z, on the axis of y if `vertical`."""
        raw_widths, raw_heights, raw_slopes = jnp.split(
            params, [num_bins, 2 * num_bins], axis=-1
        )
        widths, heights = _lengths(raw_widths, bound), _lengths(raw_heights, bound)
        inner = jnp.exp(soft_bound(raw_slopes, LOG_BOUND))
        end = jnp.ones_like(inner[..., :1])
        slopes = jnp.concatenate([end, inner, end], axis=-1)
        x, y = _left_knots(widths, bound), _left_knots(heights, bound)
        left = y if vertical else x
        above = z[..., None] >= left[..., 1:]
        # One bin is marked. Sums are faster than a gather, above all its gradient.
        first = jnp.ones_like(above[..., :1])
        here = jnp.concatenate([first, above], -1) & ~jnp.concatenate(
            [above, ~first], -1
        )

        def pick(values: jax.Array) -> jax.Array:
            return jnp.where(here, values, 0).sum(axis=-1)

        return Bin(
            *map(pick, (x, y, widths, heights, slopes[..., :-1], slopes[..., 1:]))
        )

    def log_slope(bin: Bin, xi: jax.Array) -> jax.Array:
        s = bin.height / bin.width
        top = bin.right * xi**2 + 2 * s * xi * (1 - xi) + bin.left * (1 - xi) ** 2
        bottom = s + (bin.right + bin.left - 2 * s) * xi * (1 - xi)
        return 2 * jnp.log(s) + jnp.log(top) - 2 * jnp.log(bottom)

    def forward(params: jax.Array, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        inside = jnp.abs(z) < bound
        bin = find(params, jnp.clip(z, -bound, bound), vertical=False)
        xi = jnp.where(inside, (z - bin.x) / bin.width, 0.5)
        s = bin.height / bin.width
        top = s * xi**2 + bin.left * xi * (1 - xi)
        bottom = s + (bin.right + bin.left - 2 * s) * xi * (1 - xi)
        out = bin.y + bin.height * top / bottom
        return jnp.where(inside, out, z), jnp.where(inside, log_slope(bin, xi), 0)

    def inverse(params: jax.Array, z: jax.Array) -> tuple[jax.Array, jax.Array]:
        inside = jnp.abs(z) < bound
        bin = find(params, jnp.clip(z, -bound, bound), vertical=True)
        y = jnp.where(inside, z - bin.y, bin.height / 2)
        s = bin.height / bin.width
        bend = y * (bin.right + bin.left - 2 * s)
        # a xi^2 + b xi + c = 0; this root keeps its digits where a is small.
        a = bin.height * (s - bin.left) + bend
        b = bin.height * bin.left - bend
        c = -s * y
        xi = -2 * c / (b + jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, 1e-30)))
        xi = jnp.clip(xi, 0, 1)
        out = bin.x + bin.width * xi
        return jnp.where(inside, out, z), jnp.where(inside, -log_slope(bin, xi), 0)

    return Elementwise(3 * num_bins - 1, forward, inverse)


def _lengths(raw: jax.Array, bound: float) -> jax.Array:
    """Positive lengths `[..., K]` that sum to 2 b."""
    num = raw.shape[-1]
    shares = LEAST / num + (1 - LEAST) * jax.nn.softmax(raw, axis=-1)
    return 2 * bound * shares


def _left_knots(lengths: jax.Array, bound: float) -> jax.Array:
    return jnp.cumsum(lengths, axis=-1) - lengths - bound
