"""`python -m experiments encode`: images to codes."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.errors import UserError
from experiments.evaluate import images_of
from experiments.scoring import ready, root_keys
from experiments.workdir import Run, load
from vaejax.batch import example_keys
from vaejax.distributions import Normal

NUM_DRAWS, CHUNK = 200, 1000


def encode(
    *,
    workdir: str,
    dataset: str | None = None,
    data_dir: str | None = None,
    out: str = "codes.npz",
    allow: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Writes q(z|x) of every image: arrays mean, scale and, where known, label.

    Args:
      workdir: the folder of a run.
      dataset: whose images, as in evaluate.
      data_dir: where the files of that dataset lie, as in train.
      out: the .npz file to write. The scale is a standard deviation, 0 for a
        deterministic auto-encoder; for posteriors without a closed form both are those
        of 200 draws.
      allow: code from outside the library that the run may name, as in `load`.
    """
    path = output(out, ".npz")
    run = load(workdir, allow=allow)
    name, split, unit = images_of(run, dataset, data_dir)
    mean, scale = codes_of(run, split.image, unit)
    arrays: dict[str, Any] = {"mean": mean, "scale": scale}
    if split.label is not None:
        arrays["label"] = split.label
    np.savez(path, **arrays)
    return {"out": out, "num_images": len(mean), "dataset": name}


def codes_of(run: Run, image: np.ndarray, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """`posterior_moments` of images as stored, in which `unit` means 1.0."""
    return posterior_moments(run, ready(run.settings, image, unit))


def posterior_moments(run: Run, x: jax.Array) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of q(z|x), each `[N, D]`; a thousand at a time.

    They are exact for a diagonal normal and for a point; of other posteriors the
    deviation, and the mean where it has no closed form, is that of `NUM_DRAWS` draws.

    Args:
      run: a run.
      x: images as the model sees them.
    """

    @jax.jit
    def moments(key: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        posterior: Any = run.model.encode(run.state.params, x)
        if isinstance(posterior, Normal):
            return posterior.loc, jnp.broadcast_to(posterior.scale, posterior.loc.shape)
        z = posterior.sample(example_keys(key, len(x)), (NUM_DRAWS,))
        try:
            mean = posterior.mean()
        except TypeError:
            mean = z.mean(axis=0)
        return mean, jnp.sqrt(((z - mean) ** 2).mean(axis=0))

    *_, key = root_keys(run.settings["training"]["seed"])
    starts = range(0, len(x), CHUNK)
    keys = jax.random.split(key, len(starts))
    chunks = [
        moments(key, x[i : i + CHUNK]) for key, i in zip(keys, starts, strict=True)
    ]
    means, scales = zip(*chunks, strict=True)
    return np.concatenate(means), np.concatenate(scales)


def output(out: str, *suffixes: str) -> Path:
    """The file to write, in a folder that exists.

    Raises:
      UserError: if it could not be written, or its name ends in none of `suffixes`.
    """
    path = Path(out)
    if path.suffix not in suffixes:
        raise UserError(f"--out must end in {' or '.join(suffixes)}, got {out}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror}.") from error
    if path.is_dir():
        raise UserError(f"--out {out} is a folder.")
    return path
