"""The mixture of distributions of one family."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from vaejax.base import Distribution, Key, split
from vaejax.batch import Shared
from vaejax.distributions.noise import noise
from vaejax.distributions.pairwise import pairwise_log_prob


@struct.dataclass
class Mixture(Distribution):
    r"""One of K distributions, :math:`p(z) = \sum_k p(k)\, p(z | k)`.

    K = 1, or components that are all the same, is that component.

    Attributes:
      logits: log p(k) up to a constant, `[*batch_shape, K]`.
      components: p(z | k), of batch shape `[*batch_shape, K]`, with which each of its
        arrays begins.
    """

    logits: jax.Array
    components: Any

    @property
    def event_ndims(self) -> int:
        """How many trailing axes are the event."""
        return getattr(self.components, "event_ndims", 1)

    def sample(self, key: Key, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws k, then z; differentiable in the components alone."""
        index_key, component_key = split(key)
        shape = self.logits.shape
        gumbel = noise(jax.random.gumbel, index_key, sample_shape, shape, 1)
        index = jnp.argmax(self.logits + gumbel, axis=-1)  # [*sample_shape, *batch]
        return self._chosen(index).sample(component_key)

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Log density in nats, `[..., *batch_shape]`."""
        return jax.nn.logsumexp(self._joint(value), axis=-1)

    def responsibilities(self, value: jax.Array) -> jax.Array:
        """p(k | z), `[..., *batch_shape, K]`: which component z came from."""
        return jax.nn.softmax(self._joint(value), axis=-1)

    def mean(self) -> jax.Array:
        """The expectation, `[*batch_shape, *event_shape]`."""
        means = self.components.mean()  # [*batch_shape, K, *event_shape]
        axes = tuple(range(-self.event_ndims, 0))
        weights = jnp.expand_dims(jax.nn.softmax(self.logits), axes)
        return (weights * means).sum(axis=-1 - self.event_ndims)

    def tempered(self, temperature: float | jax.Array) -> "Mixture":
        """Every component's deviations from its mean times `temperature`."""
        return self.replace(components=self.components.tempered(temperature))

    def _chosen(self, index: jax.Array) -> Distribution:
        """The component of every index `[*sample_shape, *batch_shape]`."""
        shape, least = self.logits.shape, self.logits.ndim + self.event_ndims

        def row(leaf: Any) -> Any:
            if isinstance(leaf, Shared):
                return leaf
            if leaf.shape[: len(shape)] != shape or leaf.ndim < least:
                raise ValueError(
                    f"Every array of the components must begin with {shape}, the shape "
                    f"of the logits, or be vaejax.batch.Shared; got {leaf.shape}."
                )
            pad = (1,) * (index.ndim + 1 - len(shape))
            return pick(leaf.reshape(*pad, *leaf.shape), index)

        return jax.tree.map(
            row, self.components, is_leaf=lambda leaf: isinstance(leaf, Shared)
        )

    def _joint(self, value: jax.Array) -> jax.Array:
        """Log p(k) + log p(z | k), `[..., *batch_shape, K]`."""
        log_weights = jax.nn.log_softmax(self.logits)
        return log_weights + pairwise_log_prob(self.components, value)


def pick(rows: jax.Array, index: jax.Array) -> jax.Array:
    """The rows that an index `[*lead]` names: `[*lead, K, ...] -> [*lead, ...]`."""
    axes = tuple(range(index.ndim, rows.ndim))
    found = jnp.take_along_axis(rows, jnp.expand_dims(index, axes), axis=index.ndim)
    return found.squeeze(axis=index.ndim)
