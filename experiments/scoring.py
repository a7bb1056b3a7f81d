"""Scores of images under a model: what `train` validates with and `evaluate` prints."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import vaejax
from experiments.errors import UserError
from vaejax.base import total_rate

Prepare = Callable[..., jax.Array]  # (key, x, *, scale), of `vaejax.data`

PREPARE: dict[str, Prepare] = {
    "none": vaejax.data.unit_interval,
    "dynamic": vaejax.data.binarize,
    "threshold": vaejax.data.threshold,
}


def as_stored(
    key: jax.Array | None, x: jax.typing.ArrayLike, *, scale: float
) -> jax.Array:
    """Counts, which no scale changes, as float32."""
    del key, scale
    return jnp.asarray(x, jnp.float32)


def prepare_of(run: dict[str, Any]) -> Prepare:
    """What makes stored images those that a model sees.

    Args:
      run: the settings of a run.
    """
    return as_stored if _counts(run) else PREPARE[run["data"]["binarize"]]


def as_picture(run: dict[str, Any], image: Any) -> np.ndarray:
    """What a model saw or made, 1.0 for white."""
    return np.asarray(image) / (run["data"]["scale"] if _counts(run) else 1)


def _counts(run: dict[str, Any]) -> bool:
    data = run["data"]
    return data.get("support") == "counts" and data["binarize"] == "none"


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
    return prepare_of(run)(key, image, scale=scale)


@functools.cache
def has_elbo(model: vaejax.Model, shape: tuple[int, ...]) -> bool:
    """Whether all densities of the ELBO of one image of this shape exist.

    A deterministic auto-encoder has none of the code, MS-SSIM none of the image, a
    VampPrior of forward flows none of the prior.
    """

    def elbo(key: jax.Array, params: Any, x: jax.Array) -> jax.Array:
        posterior, prior = model.encode(params, x), model.prior(params)
        z, rates = posterior.sample_and_rates(key, prior, vaejax.rates.sampled)
        return model.decode(params, z).log_prob(x) - total_rate(rates)

    return _exists(elbo, model, shape)


@functools.cache
def has_log_prob(model: vaejax.Model, shape: tuple[int, ...]) -> bool:
    """Whether p(x|z) of one image of this shape is a density."""

    def log_prob(key: jax.Array, params: Any, x: jax.Array) -> jax.Array:
        z = model.encode(params, x).sample(key)
        return model.decode(params, z).log_prob(x)

    return _exists(log_prob, model, shape)


def _exists(
    density: Callable[..., Any], model: vaejax.Model, shape: tuple[int, ...]
) -> bool:
    """Asks a density of shapes alone; it says so by a TypeError where it is none."""

    def of_new_model(key: jax.Array, x: jax.Array) -> Any:
        init_key, key = jax.random.split(key)
        return density(key, model.init(init_key, x), x)

    try:
        jax.eval_shape(of_new_model, jax.random.key(0), jnp.zeros((1, *shape)))
    except TypeError:
        return False
    return True


def likelihood_support(
    model: vaejax.Model, shape: tuple[int, ...]
) -> tuple[str, int | None]:
    """Which values the likelihood knows, and how many, asked of shapes alone."""

    def decoded(key: jax.Array, x: jax.Array) -> vaejax.Distribution:
        params = model.init(key, x)
        z = model.encode(params, x).sample(jax.random.fold_in(key, 1))
        return model.decode(params, z)

    x = jnp.zeros((1, *shape))
    likelihood = jax.eval_shape(decoded, jax.random.key(0), x)
    return likelihood.support, likelihood.num_values()


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
    if not has_elbo(model, x.shape[1:]):
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


def mean(values: jax.Array | np.ndarray) -> float:
    """The mean over images, summed in float64."""
    return float(np.mean(np.asarray(values, np.float64)))


def error(values: jax.Array | np.ndarray) -> float | None:
    """The standard error of that mean; null for one image."""
    if len(values) < 2:
        return None
    return float(np.std(np.asarray(values, np.float64), ddof=1)) / math.sqrt(
        len(values)
    )
