"""How a part of a model reads its numbers off a network: an affine head."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vaejax.base import Key, split
from vaejax.networks.precision import lowered, product

Network = Any  # a flax.linen module, a pair (init, apply), or an Architecture


class Architecture(NamedTuple):
    """An encoder, and the decoder of its kind for events of any shape.

    What needs to know the shape of an image to decode one, as convolutions do, is an
    architecture; a multilayer perceptron is a plain network that serves as either.
    """

    encoder: Network  # x `[N, *event_shape]` to features `[N, ...]`
    decoder: Callable[[tuple[int, ...]], Network]  # z `[N, D]` to features


class Headed(NamedTuple):
    """A network and the affine map of its features that a distribution needs."""

    init: Callable[[Key, Any], Any]
    apply: Callable[[Any, Any], jax.Array]


def headed(network: Network, num_outputs: int) -> Headed:
    """Puts an affine head of `num_outputs` on the flattened features of a network.

    Args:
      network: a flax.linen module, a pair `(init, apply)` or an `Architecture`, whose
        encoder is taken.
      num_outputs: parameters of the distribution per example.

    Returns:
      `init(key, x)` for x `[N, ...]` and `apply(params, x)`, `[N, num_outputs]`.

    Raises:
      ValueError: if `num_outputs` is less than 1, or at `init` if the network keeps
        state besides parameters (batch normalisation).
      TypeError: if `network` is neither.
    """
    if isinstance(network, Architecture):
        network = network.encoder
    return _headed(network, (), num_outputs)


def decoded(
    network: Network, event_shape: tuple[int, ...], num_params: int | None = None
) -> Headed:
    """A headed network from z `[..., D]` to the numbers of every element of an event.

    Features that are laid out as the event, `[N, *event_shape, F]` or, with the last
    axis of the event for channels, `[N, *event_shape[:-1], F]`, share one head among
    their places, a 1 x 1 convolution; all others are flattened.

    Args:
      network: a flax.linen module, a pair `(init, apply)` or an `Architecture`, whose
        decoder is taken. Beside z it may be given conditions, as a tuple `(z, y)`.
      event_shape: the shape of one x.
      num_params: P, how many numbers an element needs; None is one, without an axis.

    Returns:
      `init(key, z)` and `apply(params, z)`, `[..., *event_shape]` or
      `[..., *event_shape, P]`; all leading axes of z but one are mapped over.

    Raises:
      ValueError: if the event is empty or `num_params` is less than 1.
    """
    if isinstance(network, Architecture):
        network = network.decoder(event_shape)
    inner = _headed(network, event_shape, 1 if num_params is None else num_params)
    trailing = event_shape if num_params is None else (*event_shape, num_params)

    def one(params: Any, z: Any) -> jax.Array:
        lead = jax.tree.leaves(z)[0].shape[:-1]
        if not lead:
            return one(params, jax.tree.map(lambda leaf: leaf[None], z))[0]
        if len(lead) == 1:
            return inner.apply(params, z).reshape(*lead, *trailing)
        if lead[0] == 1:  # one particle: mapping would leave transposes in the gradient
            return one(params, jax.tree.map(lambda leaf: leaf[0], z))[None]
        return jax.vmap(functools.partial(one, params))(z)

    return Headed(inner.init, one)


def _headed(network: Network, event_shape: tuple[int, ...], num_params: int) -> Headed:
    """A head of `num_params` numbers for each element of an event, flat or laid out."""
    num_outputs = math.prod(event_shape) * num_params
    if num_outputs < 1:
        raise ValueError(f"A head needs at least 1 output, got {num_outputs}.")
    body_init, body_apply = _pair(network)
    low = getattr(network, "compute_dtype", "float32") == "bfloat16"

    def features(params: Any, x: Any) -> tuple[jax.Array, nn.Dense]:
        out = body_apply(params, x)
        places = out.shape[1:-1]
        if places not in (event_shape, event_shape[:-1]):
            out, places = out.reshape(out.shape[0], -1), ()
        return out, nn.Dense(num_outputs // math.prod(places))

    def init(key: Key, x: Any) -> Any:
        body_key, head_key = split(key)
        body = body_init(body_key, x)
        if isinstance(network, nn.Module) and set(body) - {"params"}:
            raise ValueError(
                f"{type(network).__name__} keeps {sorted(set(body) - {'params'})} "
                "besides parameters; encode and decode are pure functions of "
                "parameters, so use LayerNorm or GroupNorm for BatchNorm."
            )
        h, dense = features(body, x)
        return {"network": body, "head": dense.init(head_key, h)["params"]}

    def apply(params: Any, x: Any) -> jax.Array:
        if low:
            h, _ = features(*lowered((params["network"], x)))
            kernel, bias = params["head"]["kernel"], params["head"]["bias"]
            return product(lowered(h), lowered(kernel)) + bias
        h, dense = features(params["network"], x)
        return jnp.asarray(dense.apply({"params": params["head"]}, h))

    return Headed(init, apply)


def _pair(network: Network) -> tuple[Callable[..., Any], Callable[..., Any]]:
    if isinstance(network, tuple) and len(network) == 2:
        init, apply = network
    else:
        init, apply = getattr(network, "init", None), getattr(network, "apply", None)
    if isinstance(network, type) or not (callable(init) and callable(apply)):
        raise TypeError(
            "A network is a flax.linen module, a pair (init, apply) of functions or an "
            f"Architecture, got {network!r}."
        )
    return init, apply
