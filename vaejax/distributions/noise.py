"""The one place that knows how a key per example meets a batch shape."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vaejax.base import Key


def noise(
    draw: Callable[[Key, tuple[int, ...]], jax.Array],
    key: Key,
    sample_shape: tuple[int, ...],
    shape: tuple[int, ...],
    event_ndims: int,
) -> jax.Array:
    """Draws `[*sample_shape, *shape]`; `[B]` keys are for the last batch axis.

    Args:
      draw: `(key, shape) -> array`, such as `jax.random.normal`.
      key: a scalar key, or `[B]` keys; B is the last batch axis of `shape`, or a new
        one where `shape` has none.
      sample_shape: leading axes to draw.
      shape: `[*batch_shape, *event_shape]` of the distribution.
      event_ndims: how many axes of `shape` are the event.
    """
    if key.ndim == 0:
        return draw(key, sample_shape + shape)
    num_batch = _checked(key, shape, event_ndims)
    lead = sample_shape + shape[: max(num_batch - 1, 0)]
    own = lead + shape[num_batch:]
    return jax.vmap(lambda key: draw(key, own), out_axes=len(lead))(key)


def _checked(key: Key, shape: tuple[int, ...], event_ndims: int) -> int:
    """How many batch axes there are; the last is that of the keys, if it is not 1."""
    num_batch = len(shape) - event_ndims
    if num_batch > 0 and shape[num_batch - 1] not in (1, key.shape[0]):
        raise ValueError(
            f"{key.shape[0]} keys for a batch of {shape[num_batch - 1]}: give one for "
            "each example, or a scalar key."
        )
    return num_batch


def noise_of(
    draw: Callable[..., jax.Array],
    key: Key,
    sample_shape: tuple[int, ...],
    parameters: tuple[jax.Array, ...],
    event_ndims: int,
) -> jax.Array:
    """Draws `[*sample_shape, *shape]` of what no shift or stretch of noise gives.

    The numbers of an example depend on its own key and parameters alone, although a
    sampler that rejects takes as many rounds as the slowest of its examples.

    Args:
      draw: `(key, shape, *parameters) -> array`, such as a gamma's.
      key: a scalar key, or `[B]` keys, as in `noise`.
      sample_shape: leading axes to draw.
      parameters: arrays that broadcast to `[*batch_shape, *event_shape]`.
      event_ndims: how many axes of that shape are the event.
    """
    arrays = jnp.broadcast_arrays(*parameters)
    shape = arrays[0].shape
    if key.ndim == 0:
        return draw(key, sample_shape + shape, *arrays)
    num_batch = _checked(key, shape, event_ndims)
    axis = num_batch - 1 if num_batch else None  # of the examples
    lead = sample_shape + shape[: max(num_batch - 1, 0)]
    own = lead + shape[num_batch:]
    return jax.vmap(
        lambda key, *parameters: draw(key, own, *parameters),
        in_axes=(0, *(axis for _ in arrays)),
        out_axes=len(lead),
    )(key, *arrays)


def sum_event(terms: jax.Array, event_ndims: int) -> jax.Array:
    """Sums the last `event_ndims` axes: `[..., *event_shape] -> [...]`."""
    return jnp.sum(terms, axis=tuple(range(-event_ndims, 0)))
