"""Convolutional encoder and decoder for images of any size."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from vaejax.networks.convolution import convolve, convolve_transposed
from vaejax.networks.heads import Architecture
from vaejax.networks.mlp import ACTIVATIONS
from vaejax.networks.precision import Dtype, check_dtype, floating


def unit_gain(stride: int = 1) -> Any:
    """Weights of variance 1 / (numbers that an output sees), so that scale is kept.

    An output of a transposed convolution sees one in stride^2 of its kernel's.
    """
    return nn.initializers.variance_scaling(stride**2, "fan_in", "uniform")


class Conv(nn.Module):
    """A convolution of stride s and its bias: `[N, H, W, C] -> [N, H', W', F]`."""

    features: int
    kernel: int = 4
    stride: int = 2

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Features of the image at 1 / s of its size, rounded up."""
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", unit_gain(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return convolve(x, kernel, self.stride) + bias


class ConvTransposed(nn.Module):
    """The transpose of `Conv`: `[N, H', W', C] -> [N, *size, F]`."""

    features: int
    size: tuple[int, int]
    kernel: int = 4
    stride: int = 2

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Features of the larger image."""
        # Stored as [k, k, C, F], so that the initialiser sees what goes in and out.
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", unit_gain(self.stride), shape)
        kernel = kernel.transpose(0, 1, 3, 2)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return convolve_transposed(x, kernel, self.size, self.stride) + bias


def as_image(x: Any) -> jax.Array:
    """An image `[N, H, W]` or `[N, H, W, C]` as `[N, H, W, C]` in floating point.

    Of a pair (image, mask), both of that size, the mask is further channels; of a pair
    (image, condition `[N, C]`) the condition is spread over the image, as channels too.
    """
    image, *conditions = jax.tree.leaves(x)
    if image.ndim not in (3, 4):
        raise ValueError(
            "A convolutional encoder needs images [N, H, W] or [N, H, W, C], got "
            f"{image.shape}: use networks.mlp for vectors."
        )
    image = image if image.ndim == 4 else image[..., None]
    parts = [floating(image)]
    for condition in conditions:
        size = image.shape[1:3] if condition.shape[1:3] == image.shape[1:3] else (1, 1)
        flat = condition.reshape(len(image), *size, -1)
        flat = jnp.broadcast_to(flat, (*image.shape[:3], flat.shape[-1]))
        parts.append(flat.astype(parts[0].dtype))
    return jnp.concatenate(parts, axis=-1)


def as_vector(z: Any) -> jax.Array:
    """Codes `[N, D]`, with their conditions `[N, C]` beside them."""
    return jnp.concatenate([floating(leaf) for leaf in jax.tree.leaves(z)], axis=-1)


def halved(event_shape: tuple[int, ...], num_stages: int) -> list[tuple[int, int]]:
    """The sizes of an image, from its own to that after `num_stages` halvings.

    Raises:
      ValueError: if the event is no image, or too small for so many stages.
    """
    if len(event_shape) not in (2, 3):
        raise ValueError(
            "A convolutional decoder makes images [H, W] or [H, W, C], not events of "
            f"shape {event_shape}: use networks.mlp."
        )
    height, width = event_shape[:2]
    if min(height, width) < 2**num_stages:
        raise ValueError(
            f"An image of {height} x {width} cannot be halved {num_stages} times: give "
            f"fewer channels, one for each halving."
        )
    return [(-(-height // 2**i), -(-width // 2**i)) for i in range(num_stages + 1)]


class Encoder(nn.Module):
    """Stride-2 convolutions, then dense layers."""

    channels: Sequence[int]
    hidden: Sequence[int]
    activation: str
    compute_dtype: str

    @nn.compact
    def __call__(self, x: Any) -> jax.Array:
        """Features `[N, F]` of images."""
        act, x = ACTIVATIONS[self.activation], as_image(x)
        halved(x.shape[1:], len(self.channels))
        for i, features in enumerate(self.channels):
            x = act(Conv(features, name=f"conv_{i}")(x))
        x = x.reshape(x.shape[0], -1)
        for i, width in enumerate(self.hidden):
            x = act(nn.Dense(width, kernel_init=unit_gain(), name=f"dense_{i}")(x))
        return x


class Decoder(nn.Module):
    """The encoder backwards: features `[N, H, W, F]` laid out as the image."""

    event_shape: tuple[int, ...]
    channels: Sequence[int]
    hidden: Sequence[int]
    activation: str
    compute_dtype: str

    @nn.compact
    def __call__(self, z: Any) -> jax.Array:
        """Features of every pixel."""
        act, x = ACTIVATIONS[self.activation], as_vector(z)
        sizes = halved(self.event_shape, len(self.channels))
        smallest = (*sizes[-1], self.channels[-1])
        for i, width in enumerate((*self.hidden[::-1], math.prod(smallest))):
            x = act(nn.Dense(width, kernel_init=unit_gain(), name=f"dense_{i}")(x))
        x = x.reshape(x.shape[0], *smallest)
        widths = (self.channels[0], *self.channels[:-1])
        for i in range(len(self.channels))[::-1]:
            layer = ConvTransposed(widths[i], sizes[i], name=f"conv_{i}")
            x = act(layer(x))
        return x


def conv(
    *,
    channels: Sequence[int] = (32, 64),
    hidden: Sequence[int] = (256,),
    activation: Literal["gelu", "relu", "silu", "tanh"] = "gelu",
    dtype: Dtype = "float32",
) -> Architecture:
    """A convolutional encoder, and the decoder that is its mirror image.

    Every stage is a 4 x 4 convolution of stride 2, which halves the image, rounding
    up; the decoder's transposed ones give back any size, odd ones too. The decoder's
    features are laid out as the image, `[N, H, W, channels[0]]`.

    Args:
      channels: features of each stage, from the image on; `(32, 64)` suits 28 x 28,
        `(32, 64, 128)` 64 x 64.
      hidden: widths of the dense layers between the smallest image and the code.
      activation: after every layer: gelu, relu, silu or tanh.
      dtype: what the layers and the head compute in, float32 or bfloat16, which is
        faster on accelerators; parameters and results are float32.

    Returns:
      An `Architecture` for events `[H, W]` or `[H, W, C]`.

    Raises:
      ValueError: if a width is less than 1, the activation or the dtype unknown; where
        it is used, for events that are no images or too small for the stages.
    """
    check_dtype(dtype)
    stages, dense = checked(channels, hidden, activation)
    return Architecture(
        Encoder(stages, dense, activation, dtype),
        lambda event_shape: Decoder(event_shape, stages, dense, activation, dtype),
    )


def checked(
    channels: int | Sequence[int], hidden: int | Sequence[int], activation: str
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The widths of stages and of dense layers, as tuples.

    Raises:
      ValueError: if a width is less than 1, there is no stage, or the activation is
        unknown.
    """
    channels = (channels,) if isinstance(channels, int) else tuple(channels)
    hidden = (hidden,) if isinstance(hidden, int) else tuple(hidden)
    if not channels or any(width < 1 for width in (*channels, *hidden)):
        raise ValueError(
            "channels and hidden must be widths of at least 1, and channels not empty, "
            f"got {channels} and {hidden}."
        )
    if activation not in ACTIVATIONS:
        names = ", ".join(ACTIVATIONS)
        raise ValueError(f"activation must be one of {names}, got {activation!r}.")
    return channels, hidden
