"""The type of a flow, and flows made of flows."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vaejax.base import Key, Params, split

Context = jax.Array | None  # `[..., C]`; z has all of its leading axes
Moved = tuple[jax.Array, jax.Array]  # z where it arrives, and log |det|
Map = Callable[[Params, jax.Array, Context], Moved]


class Flow(NamedTuple):
    r"""An invertible map of vectors `[..., D]`, perhaps of a context too.

    `forward` goes from the base to the data, `inverse` back; each returns where it
    arrives and its own :math:`\log |\det|` of the Jacobian, `[...]`. A map that runs
    forward only declares it: its `inverse` is None.
    """

    init: Callable[[Key, int, int], Params]  # (key, D, C); C = 0 is no context
    forward: Map
    inverse: Map | None


def invert(flow: Flow) -> Flow:
    """The same map, run the other way.

    Raises:
      ValueError: if it runs forward only.
    """
    if flow.inverse is None:
        raise ValueError("A flow that runs forward only cannot be inverted.")
    return Flow(flow.init, flow.inverse, flow.forward)


def chain(flows: Sequence[Flow]) -> Flow:
    """One flow after the other, the first nearest to the base."""

    def init(key: Key, dim: int, context_dim: int) -> Params:
        keys = split(key, len(flows))
        parts = [
            flow.init(key, dim, context_dim)
            for flow, key in zip(flows, keys, strict=True)
        ]
        return {f"flow_{i}": part for i, part in enumerate(parts)}

    def through(maps: dict[int, Map]) -> Map:
        def run(params: Params, z: jax.Array, context: Context) -> Moved:
            total = jnp.zeros(z.shape[:-1], z.dtype)
            for i, one in maps.items():
                z, log_det = one(params[f"flow_{i}"], z, context)
                total = total + log_det
            return z, total

        return run

    inverses = {i: flow.inverse for i, flow in enumerate(flows) if flow.inverse}
    invertible = len(inverses) == len(flows)
    return Flow(
        init,
        through({i: flow.forward for i, flow in enumerate(flows)}),
        through(dict(reversed(inverses.items()))) if invertible else None,
    )


def repeat(flow: Flow, num: int) -> Flow:
    """`num` flows of a kind, the order of the coordinates reversed between them.

    One `lax.scan` whose parameters have a leading axis `num`, so that compiling many
    takes no longer than one. What goes in first comes out first, whatever `num` is.

    Raises:
      ValueError: if `num` is less than 1.
    """
    if num < 1:
        raise ValueError(f"num must be at least 1, got {num}.")

    def init(key: Key, dim: int, context_dim: int) -> Params:
        def one(key: Key) -> Params:
            return flow.init(key, dim, context_dim)

        return jax.vmap(one)(jax.random.split(key, num))

    def upright(z: jax.Array) -> jax.Array:
        return z[..., ::-1] if num % 2 else z

    def forward(params: Params, z: jax.Array, context: Context) -> Moved:
        def step(z: jax.Array, params: Params) -> Moved:
            z, log_det = flow.forward(params, z, context)
            return z[..., ::-1], log_det

        z, log_dets = jax.lax.scan(step, z, params, length=num)
        return upright(z), log_dets.sum(axis=0)

    if flow.inverse is None:
        return Flow(init, forward, None)
    back = flow.inverse

    def inverse(params: Params, z: jax.Array, context: Context) -> Moved:
        def step(z: jax.Array, params: Params) -> Moved:
            return back(params, z[..., ::-1], context)

        z, log_dets = jax.lax.scan(step, upright(z), params, length=num, reverse=True)
        return z, log_dets.sum(axis=0)

    return Flow(init, forward, inverse)
