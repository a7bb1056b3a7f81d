"""`python -m experiments export`: a run that leaves vaejax."""

from typing import Any

import jax
import jax.numpy as jnp

from experiments.errors import UserError
from experiments.models import trains_prior
from experiments.workdir import load, made, recipe_of


def export(
    *,
    workdir: str,
    out: str = "exported",
    platforms: tuple[str, ...] = ("cpu", "cuda", "tpu"),
    allow: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Writes parameters and programs that run without vaejax, see docs/export.md.

    Args:
      workdir: the folder of a run.
      out: the folder to write; files of the same names there are replaced.
      platforms: where the programs run, any of cpu, cuda, rocm and tpu.
      allow: code from outside the library that the run may name, as in `load`.
    """
    from vaejax.export import export as write

    run = load(workdir, allow=allow)
    shape = tuple(run.settings["data"]["event_shape"])
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    recipe, _ = recipe_of(run.settings, allow=allow)
    said = {"prior_was_trained": trains_prior(recipe, shape)}
    folder = made(out, "--out")
    try:
        manifest = write(
            folder, run.model, run.state.params, x, platforms=platforms, notes=said
        )
    except (TypeError, ValueError) as error:
        raise UserError(f"This run cannot be exported: {error}") from error
    return {"out": out, "platforms": manifest["platforms"]} | said
