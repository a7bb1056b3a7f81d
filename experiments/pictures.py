"""Images in a grid, as a PNG."""

import math
from pathlib import Path

import numpy as np

from experiments.errors import UserError

MARGIN, MIN_SIDE = 2, 32  # pixels between images; small ones are enlarged to this side


def save_grid(path: Path, images: np.ndarray, *, columns: int | None = None) -> None:
    """Writes images row by row.

    Args:
      path: the .png file.
      images: `[N, H, W]`, or `[N, H, W, C]` with one, three or four channels; 0 is
        black and 1 white, anything beyond is cut off.
      columns: images in a row; by default as many as make a square.

    Raises:
      UserError: if these are no images.
    """
    from matplotlib.image import imsave

    shape = images.shape[1:]
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        raise UserError(
            f"examples of shape {shape} are no images to draw: write --out with .npz."
        )
    images = np.clip(np.asarray(images, np.float32), 0, 1)
    images = images.reshape(*images.shape[:3], -1)  # [N, H, W, C]
    images = np.repeat(images, 3, axis=3) if images.shape[3] == 1 else images[..., :3]
    factor = max(1, math.ceil(MIN_SIDE / min(images.shape[1:3])))
    images = images.repeat(factor, axis=1).repeat(factor, axis=2)
    columns = columns or math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    height, width = images.shape[1] + MARGIN, images.shape[2] + MARGIN
    grid = np.full(
        (rows * height + MARGIN, columns * width + MARGIN, 3), 0.5, np.float32
    )
    for i, image in enumerate(images):
        top = MARGIN + (i // columns) * height
        left = MARGIN + (i % columns) * width
        grid[top : top + height - MARGIN, left : left + width - MARGIN] = image
    imsave(path, grid)
