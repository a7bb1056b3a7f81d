"""Images drawn from known factors, for the scores of disentanglement.

As dSprites, but rendered on the device from the values of the factors, so that nothing
is stored: white shapes on black, by their shape, scale, orientation and place.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vaejax.base import Key
from vaejax.data.dataset import Split

NAMES = ("shape", "scale", "orientation", "x", "y")
RADIUS = 0.25  # of a shape at scale 1, where the image has side 1
NUM_IMAGES = {"train": 20_000, "validation": 2_000, "test": 2_000}


class Shape(NamedTuple):
    """A figure within the unit disc, whose centre it turns about."""

    order: int  # of its rotations: turned by 2 pi / order, and no less, it is itself
    inside: Callable[[jax.Array, jax.Array], jax.Array]  # of points u right, v up


def heart(u: jax.Array, v: jax.Array) -> jax.Array:
    """The inside of a curve of order 6, scaled to the unit disc."""
    u, v = 1.44 * u, 1.44 * v
    return (u**2 + v**2 - 1) ** 3 <= u**2 * v**3


def triangle(u: jax.Array, v: jax.Array) -> jax.Array:
    """The equilateral triangle whose corners lie on the unit circle, one on top."""
    return jnp.maximum(-v, (math.sqrt(3) * abs(u) + v) / 2) <= 0.5


SHAPES = {
    "square": Shape(4, lambda u, v: jnp.maximum(abs(u), abs(v)) <= math.sqrt(0.5)),
    "ellipse": Shape(2, lambda u, v: u**2 + (2 * v) ** 2 <= 1),
    "heart": Shape(1, heart),
    "triangle": Shape(3, triangle),
    "corner": Shape(  # an L: a square without its upper right quarter
        1, lambda u, v: (jnp.maximum(abs(u), abs(v)) <= 0.7) & (jnp.minimum(u, v) <= 0)
    ),
}


class Factors(NamedTuple):
    """The values that each factor takes; every combination of them is an image."""

    names: tuple[str, ...]  # F of them
    values: tuple[np.ndarray, ...]  # float32 [sizes[f]] of factor f
    orders: tuple[int, ...]  # rotational symmetry of each value of `shape`, 1 for none

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many values each factor has; 1 for a factor that does not vary."""
        return tuple(len(values) for values in self.values)


def sprites(
    *,
    shapes: tuple[str, ...] = ("square", "ellipse", "heart"),
    num_scales: int = 6,
    num_orientations: int = 40,
    num_x: int = 32,
    num_y: int = 32,
) -> Factors:
    r"""The factors of a set of sprites; by default of 737,280 images.

    A scale is from 0.5 to 1, an orientation :math:`2 \pi i / n`, a place from 0 to 1; a
    count of 1 holds the factor fixed, at scale 1, orientation 0 or place 0.5. Shapes
    that are symmetric look the same at several orientations: `orders` says at which.

    Args:
      shapes: keys of `SHAPES`: square, ellipse, heart, triangle or corner.
      num_scales: how many scales, evenly spaced.
      num_orientations: how many orientations.
      num_x: how many places from left to right.
      num_y: how many places from top to bottom.

    Returns:
      The factors, in the order of `NAMES`.

    Raises:
      ValueError: if a count is less than 1, or a shape unknown or given twice.

    References:
      Matthey et al., 2017, https://github.com/google-deepmind/dsprites-dataset.
    """
    counts = {"num_scales": num_scales, "num_orientations": num_orientations}
    for name, count in (counts | {"num_x": num_x, "num_y": num_y}).items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count}.")
    if not shapes or not set(shapes) <= set(SHAPES) or len(set(shapes)) < len(shapes):
        raise ValueError(
            f"shapes must be some of {', '.join(SHAPES)}, each once, got {shapes}."
        )

    def spaced(low: float, high: float, num: int, alone: float) -> np.ndarray:
        return np.linspace(low, high, num) if num > 1 else np.array([alone])

    values = (
        np.array([list(SHAPES).index(shape) for shape in shapes]),
        spaced(0.5, 1, num_scales, 1),
        2 * np.pi * np.arange(num_orientations) / num_orientations,
        spaced(0, 1, num_x, 0.5),
        spaced(0, 1, num_y, 0.5),
    )
    orders = tuple(SHAPES[shape].order for shape in shapes)
    return Factors(NAMES, tuple(v.astype(np.float32) for v in values), orders)


@functools.partial(jax.jit, static_argnames=("size", "images"))
def render(factors: jax.Array, size: int = 64, *, images: int = 256) -> jax.Array:
    """The images of factor values: the pixels whose centres lie inside the shape.

    The shape is turned counter-clockwise and never leaves the image. A pixel whose
    centre lies on an edge, to rounding, may differ between devices.

    Args:
      factors: `[B, 5]`: place in `SHAPES`, scale, orientation, x and y.
      size: height and width in pixels; rows go down, as y does.
      images: how many images are in memory at once.

    Returns:
      Bools `[B, size, size]`.
    """
    centre = (jnp.arange(size) + 0.5) / size

    def one(values: jax.Array) -> jax.Array:
        shape, scale, orientation, x, y = values
        right = (centre[None, :] - (RADIUS + (1 - 2 * RADIUS) * x)) / (RADIUS * scale)
        up = -(centre[:, None] - (RADIUS + (1 - 2 * RADIUS) * y)) / (RADIUS * scale)
        cos, sin = jnp.cos(orientation), jnp.sin(orientation)
        u, v = cos * right + sin * up, cos * up - sin * right  # turned back
        every = jnp.stack([shape.inside(u, v) for shape in SHAPES.values()])
        return every[shape.astype(int)]

    return jax.lax.map(one, jnp.asarray(factors, float), batch_size=images)


def factor_indices(factors: Factors, index: jax.Array | np.ndarray) -> jax.Array:
    """The place of each factor's value, `[..., F]`, in image number `index` `[...]`.

    The last factor changes fastest.
    """
    return jnp.stack(jnp.unravel_index(jnp.asarray(index), factors.sizes), axis=-1)


def image_index(factors: Factors, indices: jax.Array | np.ndarray) -> jax.Array:
    """The number `[...]` of the image of factor indices `[..., F]`."""
    places = tuple(jnp.moveaxis(jnp.asarray(indices), -1, 0))
    return jnp.ravel_multi_index(places, factors.sizes, mode="clip")


def factor_values(factors: Factors, indices: jax.Array | np.ndarray) -> jax.Array:
    """What `render` takes: the values `[..., F]` at factor indices `[..., F]`."""
    columns = jnp.moveaxis(jnp.asarray(indices), -1, 0)
    pairs = zip(factors.values, columns, strict=True)
    return jnp.stack([jnp.asarray(values)[place] for values, place in pairs], axis=-1)


def sample_factors(
    key: Key, factors: Factors, num: int, *, held: Mapping[str, int] | None = None
) -> jax.Array:
    """Draws factor indices `[num, F]`, uniform and independent.

    Args:
      key: a scalar key.
      factors: which values there are.
      num: how many to draw.
      held: the index of every factor that does not vary, by its name.

    Raises:
      ValueError: if `held` names no factor, or a value that it does not have.
    """
    held = held or {}
    for name, index in held.items():
        size = dict(zip(factors.names, factors.sizes, strict=True)).get(name, 0)
        if not 0 <= index < size:
            raise ValueError(
                f"held must give an index below the size of a factor, {factors.names} "
                f"of sizes {factors.sizes}, got {name}={index}."
            )
    sizes = jnp.array(factors.sizes)
    drawn = jax.random.randint(key, (num, len(sizes)), 0, sizes)
    columns = [
        jnp.full(num, held[name]) if name in held else column
        for name, column in zip(factors.names, drawn.T, strict=True)
    ]
    return jnp.stack(columns, axis=-1)


def split_factors(factors: Factors) -> dict[str, np.ndarray]:
    """Factor indices `[N, F]`: 20,000 training, 2,000 validation, 2,000 test images.

    None is there twice. Which is a function of the number of images alone: the smallest
    of as many raw outputs of PCG64(0).
    """
    order = np.random.PCG64(0).random_raw(math.prod(factors.sizes)).argsort()
    ends = np.cumsum(list(NUM_IMAGES.values()))
    rows = np.split(order, ends)[: len(ends)]
    return {
        name: np.asarray(factor_indices(factors, index))
        for name, index in zip(NUM_IMAGES, rows, strict=True)
    }


def sprites_splits(factors: Factors, size: int = 64) -> dict[str, Split]:
    """Return the images of `split_factors`.

    They are drawn in float64, where hardly a pixel is near an edge to rounding, so that
    a run resumed on another machine sees the same. A label is the place of the shape in
    `factors`.
    """
    splits = {}
    for name, indices in split_factors(factors).items():
        values = np.asarray(factor_values(factors, indices))
        with jax.enable_x64(True):  # see above
            image = np.asarray(render(values, size))
        splits[name] = Split(image, np.asarray(indices[:, 0], np.int32))
    return splits
