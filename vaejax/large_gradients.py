"""Steps with a large gradient are skipped, but never for ever."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from vaejax.checks import check_positive


class SkipState(NamedTuple):
    """What `skip_large_gradients` keeps."""

    skipped: jax.Array  # `[]` int32, steps in a row up to here
    inner: optax.OptState


def skip_large_gradients(
    optimizer: optax.GradientTransformation,
    max_norm: float,
    *,
    num_in_a_row: int = 10,
) -> optax.GradientTransformation:
    """Skips steps whose gradient is longer than a threshold, so many in a row.

    A skipped step changes neither the parameters nor the state of the optimizer. The
    step after `num_in_a_row` of them is taken with its gradient shortened to
    `max_norm`, so that a threshold below every gradient slows a run down and does not
    stop it, as the rule without an end does.

    Args:
      optimizer: of the gradients let through.
      max_norm: the threshold; may be traced.
      num_in_a_row: how many steps at most are skipped one after the other, at least 0,
        which is clipping.

    Returns:
      An optax transformation; moving averages pass it by, as any other.

    Raises:
      ValueError: if a Python `max_norm` is not positive, or `num_in_a_row` negative.

    References:
      The rule without an end: Child, 2021, https://arxiv.org/abs/2011.10650.
    """
    check_positive(max_norm=max_norm)
    if num_in_a_row < 0:
        raise ValueError(f"num_in_a_row must be at least 0, got {num_in_a_row}.")

    def init(params: optax.Params) -> SkipState:
        return SkipState(jnp.zeros((), jnp.int32), optimizer.init(params))

    def update(
        grads: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, SkipState]:
        norm = optax.tree.norm(grads)
        large = norm > max_norm
        skip = large & (state.skipped < num_in_a_row)
        scale = jnp.where(large, max_norm / norm, 1)
        short = jax.tree.map(lambda grad: (grad * scale).astype(grad.dtype), grads)
        updates, inner = optimizer.update(short, state.inner, params)
        updates = jax.tree.map(lambda u: jnp.where(skip, 0, u), updates)
        inner = jax.tree.map(
            lambda new, old: jnp.where(skip, old, new), inner, state.inner
        )
        return updates, SkipState(jnp.where(skip, state.skipped + 1, 0), inner)

    return optax.GradientTransformation(init, update)
