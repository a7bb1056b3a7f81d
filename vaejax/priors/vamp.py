"""The variational mixture of posteriors."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from vaejax.base import Distribution, Family, Key, X, split
from vaejax.batch import batch_size
from vaejax.distributions import Mixture

NOISE = 0.01  # of the first pseudo-inputs, in standard deviations of the data


def vamp(
    latent_dim: int,
    *,
    num_components: int = 500,
    weights: Literal["uniform", "learned"] = "uniform",
) -> Family:
    r"""p(z) = 1/K sum_k q(z | u_k): the posteriors of K learned pseudo-inputs u_k.

    The prior that maximises the ELBO is the average of q(z|x) over the data; this one
    has few terms, whose inputs are trained with the model. The encoder is given the
    gradient of both its places. K = 1 is q(z | u_1). No closed form: train with
    `rate=sampled`.

    The pseudo-inputs start at rows of the example batch, in floating point and with a
    little noise, and are not bounded after. No row comes twice if the batch has K, so
    give `init_state` that many.

    A component a thousand times narrower than the components lie apart has a rounded
    gradient, see `distributions.pairwise.of_normals`.

    Args:
      latent_dim: D, at least 1; that of the posterior holds.
      num_components: K, at least 1; each costs a pass of the encoder in every step.
      weights: uniform as in the paper, or learned.

    Returns:
      A `Family` of `Mixture` with batch shape `[]`, of what posterior the model has.

    Raises:
      ValueError: if a count is less than 1, or `weights` unknown.

    References:
      Tomczak and Welling, 2018, https://arxiv.org/abs/1705.07120.
    """
    if min(latent_dim, num_components) < 1:
        raise ValueError(
            "latent_dim and num_components must be at least 1, got "
            f"{latent_dim} and {num_components}."
        )
    if weights not in ("uniform", "learned"):
        raise ValueError(f"weights must be uniform or learned, got {weights!r}.")

    def init(key: Key, x: X) -> Any:
        row_key, noise_key = split(key)
        num = batch_size(x)
        again = num < num_components  # a row may come twice
        rows = jax.random.choice(row_key, num, (num_components,), replace=again)
        leaves, tree = jax.tree.flatten(x)
        keys = split(noise_key, len(leaves))
        pairs = zip(keys, leaves, strict=True)
        start = [pseudo(key, leaf, rows) for key, leaf in pairs]
        params = {"pseudo_inputs": jax.tree.unflatten(tree, start)}
        if weights == "learned":
            params["logits"] = jnp.zeros(num_components)
        return params

    def make(params: Any, encode: Callable[[X], Distribution]) -> Distribution:
        logits = params.get("logits", jnp.zeros(num_components))
        return Mixture(logits, encode(params["pseudo_inputs"]))

    return Family(init, make)


def pseudo(key: Key, leaf: jax.Array, rows: jax.Array) -> jax.Array:
    """Rows of an array `[B, ...]` as floating point, with a little noise."""
    leaf = jnp.asarray(leaf, float)
    noise = NOISE * leaf.std() * jax.random.normal(key, (len(rows), *leaf.shape[1:]))
    return leaf[rows] + noise
