"""`python -m experiments sample`: new images from the decoder alone."""

import functools
from collections.abc import Callable, Collection
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from experiments.encode import output
from experiments.errors import UserError
from experiments.evaluate import training_data
from experiments.models import trains_prior
from experiments.pictures import save_grid
from experiments.scoring import as_picture, check_seed, ready
from experiments.workdir import Run, load, recipe_of
from vaejax import samplers


def sample(
    *,
    workdir: str,
    out: str = "samples.png",
    num_samples: int = 64,
    sampler: Callable[..., samplers.Sampler] = samplers.prior,
    seed: int = 0,
    allow: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Draws codes, decodes them, and writes the means of p(x|z) as a picture.

    Args:
      workdir: the folder of a run.
      out: the file to write: .png, or .npz with the arrays image and code.
      num_samples: how many.
      sampler: where codes come from: the prior, or a distribution fitted to the codes
        of the training images, the only choice where the prior took no part in
        training.
      seed: of the fit and of the draw.
      allow: code from outside the library that the run may name, as in `load`.
    """
    check_seed(seed)
    path = output(out, ".png", ".npz")
    if num_samples < 1:
        raise UserError(f"--num-samples must be at least 1, got {num_samples}.")
    run = load(workdir, allow=allow)
    z = draw(run, sampler, num_samples, seed, allow)
    means = jax.jit(lambda params, z: run.model.decode(params, z).mean())
    image = np.asarray(means(run.state.params, z))
    if path.suffix == ".npz":
        np.savez(path, image=image, code=np.asarray(z))
    else:
        save_grid(path, as_picture(run.settings, image))
    return {"out": out, "num_samples": num_samples, "sampler": described(sampler)}


def draw(
    run: Run,
    sampler: Callable[..., samplers.Sampler],
    num_samples: int,
    seed: int,
    allow: Collection[str] = (),
) -> jax.Array:
    """Codes `[num_samples, D]`.

    Raises:
      UserError: if the sampler asks for a prior that took no part in training, as that
        of a deterministic auto-encoder, or cannot do its work.
    """
    model, shape = run.model, run.settings["data"]["event_shape"]
    recipe, _ = recipe_of(run.settings, allow=allow)
    if not trains_prior(recipe, tuple(shape)):
        model = model._replace(prior=_no_prior)
    if getattr(sampler, "func", sampler) is samplers.prior:
        x = jnp.zeros((1, *shape))  # it asks for no images, which may be far away
    else:
        data = training_data(run)
        x = ready(run.settings, data.train.image, data.scale)
    fit_key, key = jax.random.split(jax.random.key(seed))
    try:
        codes = sampler()(fit_key, model, run.state.params, x)
        return jax.jit(lambda key: codes.sample(key, (num_samples,)))(key)
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise UserError(f"--sampler: {error}") from error


def _no_prior(params: Any) -> NoReturn:
    raise UserError(
        "the prior took no part in the training of this model, so its draws mean "
        "nothing: choose another --sampler, such as gaussian_mixture, which is fitted "
        "to the codes of the training images."
    )


def described(part: Callable[..., Any]) -> dict[str, Any]:
    """A chosen part as settings have it."""
    factory = part.func if isinstance(part, functools.partial) else part
    chosen = part.keywords if isinstance(part, functools.partial) else {}
    inner = {n: described(v) if callable(v) else v for n, v in chosen.items()}
    return {"name": factory.__name__} | inner
