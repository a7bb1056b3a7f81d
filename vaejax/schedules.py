"""Schedules of a hyperparameter: pure functions from a step to a factor, mostly 0 to 1.

A schedule needs nothing from an objective. The step builds what it changes:

    warm_up = schedules.linear(num_warmup_steps=1000)

    def step(state, x):
        objective = elbo(beta=warm_up(state.step))
        return train_step(model, objective, optimizer, state, x)

Any `optax` schedule is one too.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vaejax import checks

Schedule = Callable[[jax.Array], jax.Array]  # step `[]`, from 0 on, to a factor `[]`


def warmup_end(schedule: Schedule, num_steps: int) -> int:
    """The first of the steps 0 to `num_steps` - 1 whose factor is nearest to 1.

    Of `linear` it is `num_warmup_steps`, of `constant` 0, of `cyclical` the end of the
    first rise; in a run that is shorter, the last step.
    """
    gaps = jnp.abs(jax.vmap(schedule)(jnp.arange(num_steps)) - 1)
    return int(jnp.argmin(gaps))


def constant() -> Schedule:
    """The factor 1 at every step."""
    return lambda step: jnp.ones(jnp.shape(step))


def linear(*, num_warmup_steps: int, start: float = 0.0) -> Schedule:
    """Warm-up: from `start` at step 0 in a line to 1 at `num_warmup_steps`, and stays.

    Args:
      num_warmup_steps: how many steps the rise takes, at least 1.
      start: the factor at step 0, at least 0.

    Returns:
      A function of the step.

    Raises:
      ValueError: if `num_warmup_steps` is less than 1 or `start` below 0.

    References:
      Bowman et al., 2016, https://arxiv.org/abs/1511.06349 (the weight of the rate).
    """
    if num_warmup_steps < 1:
        raise ValueError(
            f"num_warmup_steps must be at least 1, got {num_warmup_steps}."
        )

    checks.check_weights(start=start)

    def factor(step: jax.Array) -> jax.Array:
        return start + (1 - start) * jnp.minimum(step / float(num_warmup_steps), 1.0)

    return factor


def cyclical(*, num_cycle_steps: int, ramp: float = 0.5) -> Schedule:
    """Repeats a rise from 0 to 1 and a stay at 1.

    `ramp=1` is a sawtooth.

    Args:
      num_cycle_steps: how many steps a cycle takes, at least 1 and below 2^31.
      ramp: the share of a cycle in which the factor rises, above 0 and at most 1.

    Returns:
      A function of the step.

    Raises:
      ValueError: if `num_cycle_steps` is less than 1 or `ramp` not in its range.

    References:
      Fu et al., 2019, https://arxiv.org/abs/1903.10145.
    """
    if not 1 <= num_cycle_steps < 2**31:
        raise ValueError(
            f"num_cycle_steps must be at least 1 and below 2^31, got {num_cycle_steps}."
        )
    if not 0 < ramp <= 1:
        raise ValueError(f"ramp must be above 0 and at most 1, got {ramp}.")

    def factor(step: jax.Array) -> jax.Array:
        passed = jnp.remainder(step, num_cycle_steps) / num_cycle_steps
        return jnp.minimum(passed / ramp, 1.0)

    return factor
