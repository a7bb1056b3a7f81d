"""Steps on trial: taken together, looked at together, and taken back together.

A step that is not finite must change nothing, so where every step is looked at, as by
`train_step` alone, its optimizer waits for the last gradient. Here several steps are
taken first. Were all finite, they stand; if not, the state from before them comes back,
and each is taken again, on trial by itself, until as many in a row were finite. It
costs a copy of the state, and what is taken back is computed twice. How many are on
trial changes no number, but for rounding between one and several.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from vaejax import tally
from vaejax.base import Metrics
from vaejax.train import TrainState

NUM_ON_TRIAL = 16  # of an epoch, if it is not told
Carry = tuple[TrainState, Metrics]
Indexed = Callable[[TrainState, jax.Array], Carry]  # the step of an index


def steps(
    step: Indexed, state: TrainState, num_steps: int | jax.Array, num_on_trial: int
) -> Carry:
    """Takes steps 0, 1, ... and adds up their tally.

    Args:
      step: `(state, i) -> (state, metrics)`; of several on trial it is given `skipped`
        as a bool, and a result that is not 0 says that it was not finite.
      state: the state before them.
      num_steps: how many; may be traced.
      num_on_trial: how many are looked at together. With 1 the step looks at itself,
        no copy of the state is made, and JAX can differentiate a loop of known length.

    Returns:
      The state after them, and the sums of `vaejax.tally`.

    Raises:
      ValueError: if `num_on_trial` is less than 1.
    """
    if num_on_trial < 1:
        raise ValueError(f"num_on_trial must be at least 1, got {num_on_trial}.")

    @jax.jit  # traced once, though its output's shape is asked for first
    def one(state: TrainState, i: jax.Array, before: jax.Array) -> Carry:
        """A step and its tally, where the state `before` had skipped so many."""
        new, metrics = step(state, i)
        skipped = new.skipped
        if state.skipped.dtype == bool:
            new = new._replace(skipped=state.skipped | (skipped > 0))
            skipped = jnp.where(new.skipped, before + 1, 0)
        return new, tally.of_step(new.step, skipped, metrics)

    def several(carry: Carry, first: Any, num: Any, before: jax.Array) -> Carry:
        def body(i: jax.Array, carry: Carry) -> Carry:
            new, told = one(carry[0], first + i, before)
            return new, tally.added(carry[1], told)

        return jax.lax.fori_loop(0, num, body, carry)

    def together(carry: tuple[Carry, jax.Array, jax.Array]) -> Any:
        (old, sums), done, doubted = carry  # so many steps ahead are taken one by one
        num = jnp.where(doubted > 0, 1, jnp.minimum(num_on_trial, num_steps - done))
        new, told = several((on_trial(old), sums), done, num, old.skipped)
        failed, alone = new.skipped, num == 1
        stands = ~failed | alone
        params, opt_state = jax.lax.cond(
            failed,
            lambda: (old.params, old.opt_state),
            lambda: (new.params, new.opt_state),
        )
        state = TrainState(
            jnp.where(stands, new.step, old.step),
            params,
            opt_state,
            old.key,
            jnp.where(failed, old.skipped + alone, 0),
        )
        sums = jax.tree.map(lambda new, old: jnp.where(stands, new, old), told, sums)
        again = jnp.where(alone, num_on_trial - 1, num)
        doubted = jnp.where(failed, again, jnp.maximum(doubted - 1, 0))
        return (state, sums), done + jnp.where(stands, num, 0), doubted

    zero = jnp.int32(0)
    first = state if num_on_trial == 1 else on_trial(state)
    _, shapes = jax.eval_shape(one, first, zero, zero)
    start = state, jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    if num_on_trial == 1:
        return several(start, 0, num_steps, zero)
    num_steps = jnp.asarray(num_steps, jnp.int32)
    carry = start, zero, zero
    return jax.lax.while_loop(lambda carry: carry[1] < num_steps, together, carry)[0]


def on_trial(state: TrainState) -> TrainState:
    """The state that tells a step not to look at itself, but to say what it saw."""
    return state._replace(skipped=jnp.zeros((), bool))
