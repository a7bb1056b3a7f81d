"""`python -m experiments reconstruct`: images, and what the model makes of them."""

from typing import Any

import jax
import numpy as np

import vaejax
from experiments.encode import output
from experiments.errors import UserError
from experiments.evaluate import images_of
from experiments.pictures import save_grid
from experiments.scoring import as_picture, check_seed, mean, ready
from experiments.workdir import load


def reconstruct(
    *,
    workdir: str,
    dataset: str | None = None,
    data_dir: str | None = None,
    out: str = "reconstructions.png",
    num_images: int = 16,
    seed: int = 0,
    allow: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Writes pairs of rows: images as the model saw them, and their reconstructions.

    Args:
      workdir: the folder of a run.
      dataset: whose images, as in evaluate.
      data_dir: where the files of that dataset lie, as in train.
      out: the file to write: .png, or .npz with the arrays image and reconstruction.
      num_images: how many, the first of the dataset.
      seed: of the draw of z ~ q(z|x).
      allow: code from outside the library that the run may name, as in `load`.
    """
    path = output(out, ".png", ".npz")
    check_seed(seed)
    if num_images < 1:
        raise UserError(f"--num-images must be at least 1, got {num_images}.")
    run = load(workdir, allow=allow)
    name, split, scale = images_of(run, dataset, data_dir)
    image, params = split.image[:num_images], run.state.params
    x = ready(run.settings, image, scale)
    keys = jax.random.split(jax.random.key(seed))
    z = run.model.encode(params, x).sample(keys[0])
    reconstruction = run.model.decode(params, z).mean()
    distortion = vaejax.evaluate.distortion(keys[1], run.model, params, x, 10)
    if path.suffix == ".npz":
        np.savez(path, image=np.asarray(x), reconstruction=np.asarray(reconstruction))
    else:
        columns = min(len(x), 16)
        pairs = []
        for i in range(0, len(x), columns):
            pairs += [x[i : i + columns], reconstruction[i : i + columns]]
        pictures = as_picture(run.settings, np.concatenate(pairs))
        save_grid(path, pictures, columns=columns)
    return {
        "out": out,
        "num_images": len(x),
        "distortion": mean(distortion),
        "dataset": name,
    }
