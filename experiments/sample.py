"""`python -m experiments sample`: new images from the decoder alone."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from experiments.encode import codes_of, output
from experiments.errors import UserError
from experiments.evaluate import training_data
from experiments.pictures import save_grid
from experiments.scoring import has_density
from experiments.workdir import Run, load


def sample(
    *,
    workdir: str,
    out: str = "samples.png",
    num_samples: int = 64,
    codes: Literal["prior", "gaussian"] = "prior",
    seed: int = 0,
) -> dict[str, Any]:
    """Draws codes, decodes them, and writes the means of p(x|z) as a picture.

    Args:
      workdir: the folder of a run.
      out: the file to write: .png, or .npz with the arrays image and code.
      num_samples: how many.
      codes: from the prior, or from a Gaussian with the mean and covariance that the
        codes of the training images have, the only choice for a deterministic
        auto-encoder.
      seed: of the draw.
    """
    path = output(out, ".png", ".npz")
    if num_samples < 1 or not 0 <= seed < 2**32:
        raise UserError("--num-samples must be at least 1, --seed from 0 to 2^32 - 1.")
    run = load(workdir)
    z = draw(run, codes, num_samples, seed)
    image = np.asarray(run.model.decode(run.state.params, z).mean())
    if path.suffix == ".npz":
        np.savez(path, image=image, code=np.asarray(z))
    else:
        save_grid(path, image)
    return {"out": out, "num_samples": num_samples, "codes": codes}


def draw(run: Run, kind: str, num_samples: int, seed: int) -> jax.Array:
    """Codes `[num_samples, D]`.

    Raises:
      UserError: if the model is a deterministic auto-encoder, whose prior means
        nothing, and `kind` is `prior`.
    """
    key, params = jax.random.key(seed), run.state.params
    if kind == "gaussian":
        data = training_data(run)
        mean, scale = codes_of(run, data.train.image, data.scale)
        covariance = jnp.cov(mean.T).reshape(mean.shape[1], mean.shape[1])
        covariance += jnp.diag((scale**2).mean(axis=0))  # z spreads about its mean
        return jax.random.multivariate_normal(
            key, mean.mean(axis=0), covariance, (num_samples,), method="svd"
        )
    x = jnp.zeros((1, *run.settings["data"]["event_shape"]))
    if not has_density(run.model, params, x):
        raise UserError(
            "a deterministic auto-encoder has no distribution of codes to draw from: "
            "pass --codes gaussian, which fits one to the codes of its training images."
        )
    return run.model.prior(params).sample(key, (num_samples,))
