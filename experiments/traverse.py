"""`python -m experiments traverse`: what happens along one latent axis."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.encode import codes_of, output
from experiments.errors import UserError
from experiments.evaluate import images_of
from experiments.pictures import save_grid
from experiments.scoring import as_picture
from experiments.workdir import load


def traverse(
    *,
    workdir: str,
    dataset: str | None = None,
    data_dir: str | None = None,
    out: str = "traversal.png",
    image: int | None = None,
    num_steps: int = 11,
    extent: float = 3.0,
    allow: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Writes a row for each latent dimension: decodings along it, the rest held fixed.

    The axis runs over mean +- extent standard deviations of the codes of the images,
    and rows are in the order of how much the picture changes along them.

    Args:
      workdir: the folder of a run.
      dataset: whose images, as in evaluate.
      data_dir: where the files of that dataset lie, as in train.
      out: the file to write: .png, or .npz with the arrays image (D, num_steps, ...)
        and dimension.
      image: index of the image whose code is the centre; by default the mean code.
      num_steps: pictures in a row.
      extent: how far to go, in standard deviations of the codes.
      allow: code from outside the library that the run may name, as in `load`.
    """
    path = output(out, ".png", ".npz")
    if num_steps < 2 or not extent > 0:
        raise UserError("--num-steps must be at least 2 and --extent positive.")
    run = load(workdir, allow=allow)
    name, split, unit = images_of(run, dataset, data_dir)
    if image is not None and not 0 <= image < len(split.image):
        raise UserError(f"--image must be from 0 to {len(split.image) - 1}.")
    mean, scale = codes_of(run, split.image, unit)
    centre = mean.mean(axis=0) if image is None else mean[image]
    spread = np.sqrt(mean.var(axis=0) + (scale**2).mean(axis=0))  # of z over the images
    steps = np.linspace(-extent, extent, num_steps)
    num_dims = mean.shape[1]
    z = np.tile(centre, (num_dims, num_steps, 1))  # [D, S, D]
    for d in range(num_dims):
        z[d, :, d] = mean[:, d].mean() + steps * spread[d]
    pictures = np.asarray(run.model.decode(run.state.params, jnp.asarray(z)).mean())
    change = pictures.reshape(num_dims, num_steps, -1).std(axis=1).mean(axis=1)
    order = np.argsort(-change, kind="stable")
    if path.suffix == ".npz":
        np.savez(path, image=pictures[order], dimension=order)
    else:
        flat = pictures[order].reshape(-1, *pictures.shape[2:])
        save_grid(path, as_picture(run.settings, flat), columns=num_steps)
    return {"out": out, "dimensions": order.tolist(), "dataset": name}
