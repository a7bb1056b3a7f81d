"""Bounded memory: what a function needs by its shapes, and many rows in few parts."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, Var, jaxprs_in_params


def live_bytes(function: Callable[..., Any], *args: Any) -> int:
    """The most bytes that the results of a function's operations take up at one time.

    A result lives from the operation that makes it to the last that reads it. An
    operation that works element by element writes over an operand read for the last
    time, and no others are fused, so a compiled program usually needs less: of a
    network, half of it and more. The arguments, which lie in memory before the call,
    are not counted. Nothing is computed.

    Args:
      function: anything that JAX can trace.
      args: its arguments, arrays or their shapes (`jax.ShapeDtypeStruct`).
    """
    return _peak(jax.make_jaxpr(function)(*args).jaxpr)


def in_parts(function: Callable[[Any], Any], rows: Any, size: int) -> Any:
    """`jax.vmap(function)(rows)`, of so many rows at a time.

    As `jax.lax.map` with a `batch_size`, but without a copy of all rows: the last part
    is a full one, whose first rows the part before has had already (JAX moves a slice
    that would not fit).

    Args:
      function: takes one row, and depends on nothing but it; of its key, if it has
        one, it folds others.
      rows: a pytree of arrays `[N, ...]`.
      size: rows at a time, at least 1.
    """
    total = len(jax.tree.leaves(rows)[0])
    size = min(size, total)

    def part(start: jax.Array | int) -> Any:
        return jax.vmap(function)(
            jax.tree.map(
                lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, size), rows
            )
        )

    def write(i: jax.Array, whole: Any) -> Any:
        return jax.tree.map(
            lambda all, own: jax.lax.dynamic_update_slice_in_dim(all, own, i * size, 0),
            whole,
            part(i * size),
        )

    whole = jax.tree.map(
        lambda one: jnp.zeros((total, *one.shape[1:]), one.dtype),
        jax.eval_shape(part, 0),
    )
    return jax.lax.fori_loop(0, -(-total // max(size, 1)), write, whole)


def _peak(jaxpr: Jaxpr) -> int:
    results = [v for v in jaxpr.outvars if isinstance(v, Var)]
    last_read = dict.fromkeys(results, len(jaxpr.eqns))
    for i, equation in enumerate(jaxpr.eqns):
        last_read |= {v: max(i, last_read.get(v, i)) for v in _variables(equation)}
    live: dict[Var, int] = {}
    peak = 0
    for i, equation in enumerate(jaxpr.eqns):
        made = {v: _num_bytes(v) for v in equation.outvars}
        done = {v for v in _variables(equation) if last_read[v] == i}
        inside = max(map(_peak, jaxprs_in_params(equation.params)), default=0)
        reused = 0
        if not inside and len(made) == 1 and _is_elementwise(equation):
            reused = max((live[v] for v in done & live.keys()), default=0)
        needed = max(sum(made.values()) - reused, inside)
        peak = max(peak, sum(live.values()) + needed)
        live |= made
        for v in done & live.keys():
            del live[v]
    return peak


def _variables(equation: Any) -> list[Var]:
    """What it reads, and what it makes and nobody reads."""
    return [v for v in (*equation.outvars, *equation.invars) if isinstance(v, Var)]


def _is_elementwise(equation: Any) -> bool:
    shapes = {v.aval.shape for v in equation.invars} - {()}
    return shapes == {equation.outvars[0].aval.shape}


def _num_bytes(variable: Any) -> int:
    """Of an array; tokens and keys, which are small, may have no size."""
    dtype = getattr(variable.aval, "dtype", None)
    return math.prod(getattr(variable.aval, "shape", ())) * getattr(
        dtype, "itemsize", 0
    )
