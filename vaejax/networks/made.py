"""Networks that tell each coordinate what to do: dense layers, masked or not.

Plain functions of arrays `[..., D]` with any leading axes, which a context `[..., C]`
broadcasts against; flows and autoregressive priors are made of them.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.base import Key, Params, split

LAST = 0.01  # of the usual scale, for the last layer: what it tells is little at first


class Conditioner(NamedTuple):
    """A network from z `[..., D]` and a context to P numbers for some coordinates."""

    init: Callable[[Key, int, int], Params]  # (key, D, C); C = 0 is no context
    apply: Callable[[Params, jax.Array, jax.Array | None], jax.Array]  # [..., D', P]


def made(num_params: int, *, hidden: int | Sequence[int] = (64,)) -> Conditioner:
    r"""P numbers for each coordinate i, of the coordinates before it and the context.

    A hidden unit of degree m sees the coordinates :math:`z_1 \dots z_m` and all of the
    context, output i the units of degree less than i: the masks of MADE, with degrees
    spread evenly over the units (from 1, or with a context from 0, to D - 1).

    Args:
      num_params: P, at least 1.
      hidden: the widths of the hidden layers, each at least 1.

    Returns:
      A `Conditioner` to `[..., D, P]`; the numbers of the first coordinate depend on
      the context alone.

    Raises:
      ValueError: if a width or `num_params` is less than 1.

    References:
      Germain et al., 2015, https://arxiv.org/abs/1502.03509.
    """
    sizes = widths(hidden)
    if num_params < 1:
        raise ValueError(f"num_params must be at least 1, got {num_params}.")

    def init(key: Key, dim: int, context_dim: int) -> Params:
        return init_layers(key, (dim, *sizes, dim * num_params), context_dim)

    def apply(params: Params, z: jax.Array, context: jax.Array | None) -> jax.Array:
        dim = z.shape[-1]
        masks = made_masks(dim, sizes, num_params, lowest=int(context is None))
        out = apply_layers(params, z, context, masks)
        return out.reshape(*out.shape[:-1], dim, num_params)

    return Conditioner(init, apply)


def made_masks(
    dim: int, hidden: Sequence[int], num_params: int, lowest: int
) -> list[np.ndarray]:
    """The mask `[fan_in, fan_out]` of each layer; hidden degrees start at `lowest`."""
    degrees = [1 + np.arange(dim)]
    for width in hidden:
        spread = np.linspace(lowest, max(dim - 1, lowest), width)
        degrees.append(np.round(spread).astype(int))
    masks = [a[:, None] <= b for a, b in itertools.pairwise(degrees)]
    outputs = np.repeat(1 + np.arange(dim), num_params)
    return [*masks, degrees[-1][:, None] < outputs]


def widths(hidden: int | Sequence[int]) -> tuple[int, ...]:
    """The widths of hidden layers as a tuple.

    Raises:
      ValueError: if one is less than 1.
    """
    sizes = (hidden,) if isinstance(hidden, int) else tuple(hidden)
    if any(size < 1 for size in sizes):
        raise ValueError(f"hidden must be widths of at least 1, got {sizes}.")
    return sizes


def init_layers(key: Key, sizes: Sequence[int], context_dim: int) -> Params:
    """Dense layers `sizes[0] -> ... -> sizes[-1]`; a context joins the first."""

    def normal(key: Key, fan_in: int, fan_out: int, scale: float) -> jax.Array:
        weights = jax.random.normal(key, (fan_in, fan_out))
        return scale / math.sqrt(max(fan_in, 1)) * weights

    params: Params = {}
    num = len(sizes) - 1
    scales = [1.0] * (num - 1) + [LAST]
    context_key, *keys = split(key, num + 1)
    for i in range(num):
        kernel = normal(keys[i], sizes[i], sizes[i + 1], scales[i])
        params[f"dense_{i}"] = {"kernel": kernel, "bias": jnp.zeros(sizes[i + 1])}
    if context_dim:
        params["context"] = normal(context_key, context_dim, sizes[1], scales[0])
    return params


def apply_layers(
    params: Params,
    z: jax.Array,
    context: jax.Array | None,
    masks: Sequence[np.ndarray] | None = None,
) -> jax.Array:
    """Dense layers with GELU between; masked weights are as if they were not there."""
    num = len(params) - ("context" in params)
    h = z
    for i in range(num):
        kernel, bias = params[f"dense_{i}"]["kernel"], params[f"dense_{i}"]["bias"]
        if masks is not None:
            kernel = jnp.where(masks[i], kernel, 0)
        h = h @ kernel + bias
        if i == 0 and context is not None:
            h = h + context @ params["context"]
        if i < num - 1:
            h = jax.nn.gelu(h)
    return h
