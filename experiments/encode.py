"""`python -m experiments encode`: images to codes."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.errors import UserError
from experiments.evaluate import images_of
from experiments.scoring import ready
from experiments.workdir import Run, load


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
      out: the .npz file to write. The scale of a deterministic auto-encoder is 0.
      allow: code from outside the library that the run may name, as in `load`.
    """
    path = output(out, ".npz")
    run = load(workdir, allow=allow)
    name, split, unit = images_of(run, dataset, data_dir)
    mean, scale = codes_of(run, split.image, unit)
    labels = {} if split.label is None else {"label": split.label}
    np.savez(path, mean=mean, scale=scale, **labels)
    return {"out": out, "num_images": len(mean), "dataset": name}


def codes_of(run: Run, image: np.ndarray, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and scale of q(z|x), each `[N, D]`; a thousand images at a time.

    Args:
      run: a run.
      image: as stored.
      unit: what 1.0 means in them.
    """

    @jax.jit
    def moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        posterior: Any = run.model.encode(run.state.params, x)
        mean = posterior.mean()
        return mean, getattr(posterior, "scale", 0 * mean)

    x = ready(run.settings, image, unit)
    chunks = [moments(x[i : i + 1000]) for i in range(0, len(x), 1000)]
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
