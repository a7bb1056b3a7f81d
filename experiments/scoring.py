"""Scores of images under a model: what `train` validates with and `evaluate` prints."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import vaejax
from experiments.errors import UserError
from vaejax.distributions import PointMass

PREPARE = {
    "none": vaejax.data.unit_interval,
    "dynamic": vaejax.data.binarize,
    "threshold": vaejax.data.threshold,
}


def check_seed(seed: int) -> None:
    """Refuses a seed that is no 32-bit number.

    Raises:
      UserError: naming the flag.
    """
    if not 0 <= seed < 2**32:
        raise UserError(f"--seed must be from 0 to {2**32 - 1}, got {seed}.")


def root_keys(seed: int) -> tuple[jax.Array, ...]:
    """The keys of a run: its training, bits scored, particles, first images, codes."""
    return tuple(jax.random.split(jax.random.key(seed), 5))


def ready(run: dict[str, Any], image: np.ndarray, scale: float) -> jax.Array:
    """Images `[N, ...]` as the model sees them; a run draws the same bits always.

    Args:
      run: the settings of a run.
      image: as stored.
      scale: what 1.0 means in them.
    """
    _, key, *_ = root_keys(run["training"]["seed"])
    return PREPARE[run["data"]["binarize"]](key, image, scale=scale)


def has_density(model: vaejax.Model, params: Any, x: jax.Array) -> bool:
    """Whether the posterior has one; that of a deterministic auto-encoder has not."""
    posterior = jax.eval_shape(model.encode, params, x[:1])
    return not isinstance(posterior, PointMass)


def likelihood_support(model: vaejax.Model, shape: tuple[int, ...]) -> str:
    """Which values the model's likelihood knows, asked of shapes alone."""

    def decoded(key: jax.Array, x: jax.Array) -> vaejax.Distribution:
        params = model.init(key, x)
        z = model.encode(params, x).sample(jax.random.fold_in(key, 1))
        return model.decode(params, z)

    x = jnp.zeros((1, *shape))
    return jax.eval_shape(decoded, jax.random.key(0), x).support


def score(
    seed: int,
    model: vaejax.Model,
    params: Any,
    x: jax.Array,
    num_particles: int,
    *,
    is_likelihood: bool,
) -> dict[str, float | None]:
    """Means over images, in nats, with their errors.

    Args:
      seed: of the particles.
      model: any model.
      params: its parameters.
      x: images `[N, ...]`, ready for the likelihood.
      num_particles: K of the importance-weighted estimate.
      is_likelihood: whether `log_prob` of these images is a log-likelihood; if not,
        `elbo` and `log_likelihood` are null.

    Returns:
      `elbo`, `log_likelihood`, `standard_error` (of the mean of `log_likelihood` over
      images; of `distortion` where that is null), `monte_carlo_error` (of the same
      mean, at these images, by the particles), `distortion`, `rate` and `num_images`.
    """
    _, _, key, *_ = root_keys(seed)
    scores: dict[str, Any] = dict.fromkeys(
        ("elbo", "log_likelihood", "standard_error", "monte_carlo_error", "rate")
    )
    scores["num_images"] = len(x)
    if not has_density(model, params, x):
        values = vaejax.evaluate.distortion(key, model, params, x)
        return scores | {"distortion": mean(values), "standard_error": error(values)}
    values, terms = vaejax.evaluate.log_likelihood(key, model, params, x, num_particles)
    scores |= {name: mean(terms[name]) for name in ("distortion", "rate")}
    if not is_likelihood:
        return scores | {"standard_error": error(terms["distortion"])}
    monte_carlo = float(jnp.sqrt(jnp.sum(terms["monte_carlo_error"] ** 2))) / len(x)
    return scores | {
        "elbo": mean(terms["elbo"]),
        "log_likelihood": mean(values),
        "standard_error": error(values),
        "monte_carlo_error": monte_carlo if math.isfinite(monte_carlo) else None,
    }


def mean(values: jax.Array) -> float:
    """The mean over images, summed in float64."""
    return float(np.mean(np.asarray(values, np.float64)))


def error(values: jax.Array) -> float | None:
    """The standard error of that mean; null for one image."""
    if len(values) < 2:
        return None
    return float(np.std(np.asarray(values, np.float64), ddof=1)) / math.sqrt(
        len(values)
    )
