"""Convolutional encoder and decoder with residual blocks."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import flax.linen as nn
import jax

from vaejax.networks.conv import (
    Conv,
    ConvTransposed,
    as_image,
    as_vector,
    checked,
    halved,
    unit_gain,
)
from vaejax.networks.heads import Architecture
from vaejax.networks.mlp import ACTIVATIONS
from vaejax.networks.precision import Dtype, check_dtype


class Block(nn.Module):
    """Adds two 3 x 3 convolutions of the image to it, `[N, H, W, C]`."""

    activation: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """The image and what was learned about it."""
        act, features = ACTIVATIONS[self.activation], x.shape[-1]
        h = Conv(features, kernel=3, stride=1, name="conv_0")(act(x))
        return x + Conv(features, kernel=3, stride=1, name="conv_1")(act(h))


class Encoder(nn.Module):
    """A stride-2 convolution and residual blocks for each stage, then dense layers."""

    channels: Sequence[int]
    hidden: Sequence[int]
    num_blocks: int
    activation: str
    compute_dtype: str

    @nn.compact
    def __call__(self, x: Any) -> jax.Array:
        """Features `[N, F]` of images."""
        act, x = ACTIVATIONS[self.activation], as_image(x)
        halved(x.shape[1:], len(self.channels))
        for i, features in enumerate(self.channels):
            x = Conv(features, name=f"conv_{i}")(x)
            for j in range(self.num_blocks):
                x = Block(self.activation, name=f"block_{i}_{j}")(x)
            x = act(x) if i + 1 == len(self.channels) else x
        x = x.reshape(x.shape[0], -1)
        for i, width in enumerate(self.hidden):
            x = act(nn.Dense(width, kernel_init=unit_gain(), name=f"dense_{i}")(x))
        return x


class Decoder(nn.Module):
    """The encoder backwards: features `[N, H, W, F]` laid out as the image."""

    event_shape: tuple[int, ...]
    channels: Sequence[int]
    hidden: Sequence[int]
    num_blocks: int
    activation: str
    compute_dtype: str

    @nn.compact
    def __call__(self, z: Any) -> jax.Array:
        """Features of every pixel."""
        act, x = ACTIVATIONS[self.activation], as_vector(z)
        sizes = halved(self.event_shape, len(self.channels))
        smallest = (*sizes[-1], self.channels[-1])
        for i, width in enumerate((*self.hidden[::-1], math.prod(smallest))):
            x = nn.Dense(width, kernel_init=unit_gain(), name=f"dense_{i}")(x)
            x = act(x) if i < len(self.hidden) else x
        x = x.reshape(x.shape[0], *smallest)
        widths = (self.channels[0], *self.channels[:-1])
        for i in range(len(self.channels))[::-1]:
            for j in range(self.num_blocks):
                x = Block(self.activation, name=f"block_{i}_{j}")(x)
            layer = ConvTransposed(widths[i], sizes[i], name=f"conv_{i}")
            x = layer(act(x))
        return act(x)


def residual(
    *,
    channels: Sequence[int] = (32, 64),
    num_blocks: int = 1,
    hidden: Sequence[int] = (256,),
    activation: Literal["gelu", "relu", "silu", "tanh"] = "gelu",
    dtype: Dtype = "float32",
) -> Architecture:
    """As `conv`, with residual blocks at every size but the image's own.

    Without blocks (`num_blocks=0`) it is a network of stride-2 convolutions.

    Args:
      channels: features of each stage, from the image on.
      num_blocks: residual blocks in each stage, at least 0.
      hidden: widths of the dense layers between the smallest image and the code.
      activation: gelu, relu, silu or tanh.
      dtype: what the layers and the head compute in, float32 or bfloat16, which is
        faster on accelerators; parameters and results are float32.

    Returns:
      An `Architecture` for events `[H, W]` or `[H, W, C]`.

    Raises:
      ValueError: if a width is less than 1, `num_blocks` negative, the activation or
        the dtype unknown; where it is used, for events that are no images or too small.

    References:
      He et al., 2016, https://arxiv.org/abs/1603.05027 (activations before the
      convolutions).
    """
    check_dtype(dtype)
    stages, dense = checked(channels, hidden, activation)
    if num_blocks < 0:
        raise ValueError(f"num_blocks must be at least 0, got {num_blocks}.")
    return Architecture(
        Encoder(stages, dense, num_blocks, activation, dtype),
        lambda event_shape: Decoder(
            event_shape, stages, dense, num_blocks, activation, dtype
        ),
    )
