"""Moving averages that are neither a state slot nor a special case of a model.

A moving average lives in the parameters, under the name `moving_average`. Its loss term
has value 0 and a gradient that is minus the update, which `train_step` applies as it is
whatever the optimizer. The mean over examples and devices makes it that of the global
batch.
"""

from typing import Any

import jax

NAME = "moving_average"


def toward(average: jax.Array, observed: jax.Array, decay: float) -> jax.Array:
    """A term `[]` of value 0, its gradient (1 - decay) (average - observed).

    Args:
      average: the parameter.
      observed: its new observation, of the same shape; no gradient flows into it.
      decay: the share of the old average that a step keeps.
    """
    gap = average - jax.lax.stop_gradient(observed)
    term = 0.5 * (1 - decay) * (gap**2).sum()
    return term - jax.lax.stop_gradient(term)


def route(updates: Any, grads: Any) -> Any:
    """The optimizer's updates, but minus the gradient for every moving average."""

    def one(path: tuple[Any, ...], update: jax.Array, grad: jax.Array) -> jax.Array:
        return -grad if is_one(path) else update

    return jax.tree_util.tree_map_with_path(one, updates, grads)


def hide(grads: Any) -> Any:
    """What an optimizer sees: 0 for a moving average, NaN for one not finite."""

    def one(path: tuple[Any, ...], grad: jax.Array) -> jax.Array:
        return 0 * grad if is_one(path) else grad

    return jax.tree_util.tree_map_with_path(one, grads)


def is_one(path: tuple[Any, ...]) -> bool:
    """Whether the parameter at this path of a pytree is a moving average."""
    return any(getattr(entry, "key", None) == NAME for entry in path)
