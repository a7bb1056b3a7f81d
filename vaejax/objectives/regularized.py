"""Regularised auto-encoders: small codes and a smooth decoder, without any noise."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from vaejax.base import Key, Metrics, Model, Objective, Params, X, split
from vaejax.batch import global_key
from vaejax.checks import check_weights
from vaejax.spectral_norm import spectral_norm

Penalty = Callable[[Key, Model, Params, jax.Array], jax.Array]


def l2(key: Key, model: Model, params: Params, z: jax.Array) -> jax.Array:
    """The sum of the squares of the decoder's weights: `[]`."""
    return jnp.sum(jnp.array([jnp.sum(leaf**2) for leaf in weights(params)]))


def gradient_penalty(key: Key, model: Model, params: Params, z: jax.Array) -> jax.Array:
    r"""The squared norm of the Jacobian J of the decoder's mean at each z: `[b]`.

    :math:`E |J v|^2 = |J|_F^2` for v of independent signs: one pass forward.
    """
    signs = jax.vmap(lambda key: jax.random.rademacher(key, z.shape[1:], z.dtype))(key)
    _, change = jax.jvp(lambda z: model.decode(params, z).mean(), (z,), (signs,))
    return jnp.sum(change.reshape(len(z), -1) ** 2, axis=-1)


def spectral(key: Key, model: Model, params: Params, z: jax.Array) -> jax.Array:
    """The sum of the squared spectral norms of the decoder's matrices: `[]`.

    A kernel of more than two axes is one matrix for each of its outputs, the last axis.
    """
    kernels = [leaf for leaf in weights(params) if leaf.ndim > 1]
    keys = split(global_key(key), len(kernels))
    norms = [
        spectral_norm(key, kernel.reshape(-1, kernel.shape[-1]))
        for key, kernel in zip(keys, kernels, strict=True)
    ]
    return jnp.sum(jnp.square(jnp.array(norms)))


def weights(params: Params) -> list[jax.Array]:
    """The weights of the decoding network and its head, without other parameters.

    Raises:
      ValueError: if there are none.
    """
    found = [
        leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(params["likelihood"])
        if {"network", "head"} & {getattr(entry, "key", None) for entry in path}
    ]
    if not found:
        raise ValueError("the likelihood has no network or head whose weights to see.")
    return found


KINDS: dict[str, Penalty] = {
    "l2": l2,
    "gradient_penalty": gradient_penalty,
    "spectral": spectral,
}


def regularized(
    *,
    kind: Literal["l2", "gradient_penalty", "spectral"] = "l2",
    code_weight: float = 0.1,
    decoder_weight: float = 1e-3,
) -> Objective:
    r"""Distortion, a penalty on the code and one on the decoder.

    .. math:: -\log p(x|z) + \beta\, \tfrac12 |z|^2 + \lambda R(\theta, z)

    R is one of

    - "l2": :math:`|\theta|^2` of all weights of the decoder;
    - "gradient_penalty": :math:`|\partial D_\theta(z) / \partial z|_F^2`, the whole
      Jacobian of the decoder's mean, estimated without bias;
    - "spectral": :math:`\sum_l \sigma(\theta_l)^2`, the squared spectral norms of its
      matrices. The paper divides each by its norm instead, which is for a network to
      do: no objective should train another model than the one that is kept.

    With `point_mass` this is the regularised auto-encoder of the paper, whose squared
    error is the distortion of `likelihoods.normal` with a scale of :math:`1 / \sqrt 2`,
    up to a constant; it has no prior, so draw from it by `vaejax.samplers`. Both
    weights 0 leave `reconstruction()`.

    Args:
      kind: "l2", "gradient_penalty" or "spectral".
      code_weight: beta; may be traced.
      decoder_weight: lambda; may be traced.

    Returns:
      An `Objective`: loss `[B]` in nats; metrics `distortion`, `code`, half the squared
      norm, and `regularizer`, R: each `[B]`.

    Raises:
      ValueError: if the kind is unknown or a Python weight negative; at the first loss,
        if the likelihood has no weights.

    References:
      Ghosh et al., 2020, https://arxiv.org/abs/1903.12436.
      Yoshida and Miyato, 2017, https://arxiv.org/abs/1705.10941 (the spectral penalty).
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}.")
    check_weights(code_weight=code_weight, decoder_weight=decoder_weight)

    def loss(key: Key, model: Model, params: Params, x: X) -> tuple[jax.Array, Metrics]:
        z_key, penalty_key = split(key)
        z = model.encode(params, x).sample(z_key)  # [b, D]
        distortion = model.decode(params, z).distortion(x)
        code = 0.5 * jnp.sum(z**2, axis=-1)
        penalty = KINDS[kind](penalty_key, model, params, z)
        penalty = jnp.broadcast_to(penalty, distortion.shape)
        metrics = {"distortion": distortion, "code": code, "regularizer": penalty}
        return distortion + code_weight * code + decoder_weight * penalty, metrics

    return Objective(loss)
