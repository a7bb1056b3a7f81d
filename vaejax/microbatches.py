"""The gradient of the global batch, computed in parts where memory is short."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vaejax.base import Key, Metrics, Params, X
from vaejax.batch import batch_size, global_mean, on_each_device, part_of_batch


def mean_gradient(
    mean_loss: Callable[[Params, Key, X], tuple[jax.Array, Metrics]],
    num_microbatches: int,
    params: Params,
    keys: Key,
    x: X,
) -> tuple[Params, Metrics]:
    """The gradient and the metrics of the mean loss of the global batch.

    Every device goes through its own examples in `num_microbatches` equal parts, one
    after the other, and only then is the mean taken over devices: one sum over them a
    step. Each example keeps its key, so the results are those of one part, but for the
    order of a sum.

    Args:
      mean_loss: `(params, keys, x) -> (loss, metrics)`, means over its examples.
      num_microbatches: at least 1.
      params: what it is differentiated in.
      keys: one for each example, `[B]`.
      x: the examples, a pytree of arrays `[B, ...]`.

    Raises:
      ValueError: if a device's examples cannot be split so, or if there are several
        parts and the loss asks for the whole batch.
    """
    gradient = jax.grad(mean_loss, has_aux=True)
    if num_microbatches == 1:
        return global_mean(gradient(params, keys, x))

    def split(leaf: jax.Array) -> jax.Array:
        return leaf.reshape(num_microbatches, -1, *leaf.shape[1:])

    def own(params: Params, keys: Key, x: X) -> tuple[Params, Metrics]:
        num_local = batch_size(x)
        if num_microbatches < 1 or num_local % num_microbatches:
            raise ValueError(
                f"num_microbatches must be at least 1 and divide the {num_local} "
                f"examples of a device, got {num_microbatches}."
            )

        def add(sums: Params, part: tuple[Key, X]) -> tuple[Params, Metrics]:
            with part_of_batch():
                grads, metrics = gradient(params, *part)
            return jax.tree.map(jnp.add, sums, grads), metrics

        zeros = jax.tree.map(jnp.zeros_like, params)
        sums, metrics = jax.lax.scan(add, zeros, jax.tree.map(split, (keys, x)))
        grads = jax.tree.map(lambda total: total / num_microbatches, sums)
        parts = {name: jnp.mean(metric, axis=0) for name, metric in metrics.items()}
        return global_mean((grads, parts))

    return on_each_device(own)(params, keys, x)
