r"""The exponential average of the parameters, kept by the optimizer.

.. math:: \bar p_t = \frac{1 - d}{1 - d^t} \sum_{i=1}^{t} d^{t-i} p_i
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from vaejax import moving_average
from vaejax.base import Params
from vaejax.train import TrainState


class AveragedState(NamedTuple):
    """What `averaged` keeps."""

    num_steps: jax.Array  # `[]` int32, how many were averaged
    average: Any  # as the parameters; those themselves before the first step
    inner: optax.OptState


def averaged(
    optimizer: optax.GradientTransformation, decay: float
) -> optax.GradientTransformation:
    r"""An optimizer that also keeps the average of the parameters over its steps.

    Training goes on from the parameters themselves; `averaged_params` reads the average
    out of a state. The weights of :math:`p_1 \dots p_t` add up to 1 at every step, so
    the first parameters have no share in it. It must be outermost, to see the last word
    on every update. Steps that are not finite are not averaged.

    Args:
      optimizer: what moves the parameters.
      decay: d, the share of the average that a step keeps, from 0 (the parameters
        themselves) to below 1; may be traced.

    Raises:
      ValueError: if a Python `decay` is out of its range.

    References:
      The bias correction of https://arxiv.org/abs/1412.6980, section 3.
    """
    if isinstance(decay, int | float) and not 0 <= decay < 1:
        raise ValueError(f"decay must be at least 0 and below 1, got {decay}.")

    def init(params: optax.Params) -> AveragedState:
        copy = jax.tree.map(jnp.array, params)
        return AveragedState(jnp.zeros((), jnp.int32), copy, optimizer.init(params))

    def update(
        grads: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, AveragedState]:
        if params is None:
            raise ValueError("averaged needs the parameters: update(grads, state, p).")
        updates, inner = optimizer.update(grads, state.inner, params)
        num_steps = state.num_steps + 1
        share = (1 - decay) / (1 - decay ** num_steps.astype(float))
        average = jax.tree.map(
            lambda old, new: old + (share * (new - old)).astype(old.dtype),
            state.average,
            optax.apply_updates(params, updates),
        )
        return updates, AveragedState(num_steps, average, inner)

    return optax.GradientTransformation(init, update)


def averaged_params(state: TrainState) -> Params:
    """The parameters to evaluate a run with: averages where the optimizer keeps some.

    Parameters that it does not average are as they are in `state.params`, and so are
    moving averages, which are averages already.
    """
    found = [
        node.average
        for node in jax.tree.leaves(state.opt_state, is_leaf=_is_averaged)
        if _is_averaged(node)
    ]
    params = state.params
    for average in found:  # two, where `optimizers` has two that average
        params = jax.tree_util.tree_map_with_path(
            _best, average, params, is_leaf=_is_masked
        )
    return params


def _best(path: tuple[Any, ...], average: Any, param: jax.Array) -> jax.Array:
    own = _is_masked(average) or moving_average.is_one(path)
    return param if own else average


def _is_averaged(node: Any) -> bool:
    return isinstance(node, AveragedState)


def _is_masked(node: Any) -> bool:
    return isinstance(node, optax.MaskedNode)  # of `optimizers`
