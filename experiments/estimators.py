"""How well each gradient estimator tells the gradient from its own noise.

`python -m experiments benchmark estimators` takes a few minutes on 2 cores.

The model is linear and Gaussian, as in Rainforth et al.: z ~ N(0, I), x|z ~ N(z, I),
with q(z|x) = N(x / 2, 2/3 I) a little wider than the true posterior, and every
parameter moved by N(0, 0.01^2) from there. A draw is the gradient of the mean loss of
one batch; what varies is the noise of z alone.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import vaejax
from experiments.errors import UserError
from vaejax import Model, Objective, objectives
from vaejax.base import Params
from vaejax.distributions.bounded_scale import LOG_BOUND

LATENT, BATCH, MOVED = 10, 32, 0.01
PARTICLES = (1, 2, 4, 8, 16, 32, 64)  # in all: M K for the bounds that have two counts
BOUNDS = 8  # at most, of miwae and piwae
GROUPS = ("posterior", "prior", "likelihood")


ESTIMATORS: dict[str, Callable[[int], Objective]] = {
    "pathwise": lambda total: objectives.iwae(num_particles=total),
    "stl": lambda total: objectives.iwae(num_particles=total, gradient="stl"),
    "dreg": lambda total: objectives.iwae(num_particles=total, gradient="dreg"),
    "resampled": lambda total: objectives.iwae(
        num_particles=total, gradient="resampled"
    ),
    "miwae": lambda total: objectives.miwae(
        num_bounds=min(BOUNDS, total), num_particles=max(1, total // BOUNDS)
    ),
    "piwae": lambda total: objectives.piwae(
        num_bounds=min(BOUNDS, total), num_particles=max(1, total // BOUNDS)
    ),
    "ciwae": lambda total: objectives.ciwae(num_particles=total, beta=0.5),
}


def estimators(*, num_draws: int = 2000, seed: int = 0) -> dict[str, Any]:
    r"""Prints signal-to-noise ratio and variance of the gradient estimators of IWAE.

    For one parameter, over independent draws :math:`\Delta` of its gradient,

    .. math:: \mathrm{SNR} = |E[\Delta]| / \sigma[\Delta]

    and a figure is the mean over the parameters of the posterior, the prior or the
    likelihood. Without any signal the ratio of N draws is about
    :math:`\sqrt{2 / (\pi N)}`, the floor. `miwae` and `piwae` have 8 bounds, `ciwae`
    gives the ELBO one half.

    Args:
      num_draws: gradients drawn for every figure, at least 2.
      seed: of the data, the parameters and the noise.

    Returns:
      Every figure, by estimator and group, one for each of `num_particles`; under
      `distance` how far the mean gradient for the posterior is from that of `dreg`,
      relative to its length: noise for `pathwise`, nearly all bias for `stl`.

    Raises:
      UserError: if `num_draws` is less than 2.

    References:
      Rainforth et al., 2018, https://arxiv.org/abs/1802.04537.
      Tucker et al., 2019, https://arxiv.org/abs/1810.04152.
    """
    if num_draws < 2:
        raise UserError(f"num_draws must be at least 2, got {num_draws}.")
    moments = {
        name: [gradient_moments(make(K), num_draws, seed) for K in PARTICLES]
        for name, make in ESTIMATORS.items()
    }

    def figures(figure: Callable[[np.ndarray, np.ndarray], float]) -> dict[str, Any]:
        return {
            name: {group: [figure(*one[group]) for one in own] for group in GROUPS}
            for name, own in moments.items()
        }

    result = {
        "benchmark": "estimators",
        "num_draws": num_draws,
        "seed": seed,
        "num_particles": list(PARTICLES),
        "signal_to_noise": figures(signal_to_noise),
        "variance": figures(lambda mean, deviation: float((deviation**2).mean())),
        "floor": math.sqrt(2 / (math.pi * num_draws)),
        "distance": {
            name: [
                distance(one["posterior"][0], best["posterior"][0])
                for one, best in zip(own, moments["dreg"], strict=True)
            ]
            for name, own in moments.items()
            if name in ("pathwise", "stl", "resampled")
        },
    }
    print(table(result))
    return result


Moments = dict[str, tuple[np.ndarray, np.ndarray]]  # of a group: mean, deviation [P]


def gradient_moments(objective: Objective, num_draws: int, seed: int) -> Moments:
    """Mean and standard deviation of every coordinate of the gradient, by group."""
    model, params, x = linear_gaussian(seed)

    @jax.jit
    def draws(keys: jax.Array) -> dict[str, jax.Array]:
        def draw(key: jax.Array) -> dict[str, jax.Array]:
            def mean_loss(params: Params) -> jax.Array:
                keys = jax.random.split(key, BATCH)
                return objective.loss(keys, model, params, x)[0].mean()

            gradient = jax.grad(mean_loss)(params)
            return {group: ravel_pytree(gradient[group])[0] for group in GROUPS}

        return jax.lax.map(draw, keys, batch_size=50)

    keys = jax.random.split(jax.random.key(seed), num_draws)
    return {
        group: (own.mean(axis=0, dtype=np.float64), own.std(axis=0, dtype=np.float64))
        for group, own in jax.device_get(draws(keys)).items()  # [N, P]
    }


def linear_gaussian(seed: int) -> tuple[Model, Params, jax.Array]:
    """The model, its parameters near their optimum, and a batch."""
    network = vaejax.networks.mlp(hidden=())
    model = vaejax.latent_variable_model(
        vaejax.posteriors.diagonal_normal(network, LATENT),
        vaejax.priors.normal(LATENT),
        vaejax.likelihoods.normal(network, (LATENT,)),
    )
    key = jax.random.key(seed)
    x_key, key = jax.random.split(key)
    x = math.sqrt(2) * jax.random.normal(x_key, (BATCH, LATENT))
    raw = 2 * LOG_BOUND * math.atanh(0.5 * math.log(2 / 3) / LOG_BOUND)
    eye, zero = jnp.eye(LATENT), jnp.zeros(LATENT)
    posterior = {
        "kernel": jnp.concatenate([eye / 2, 0 * eye], axis=1),
        "bias": jnp.concatenate([zero, raw + zero]),
    }
    params = {
        "posterior": {"network": {}, "head": posterior},
        "prior": {"loc": zero, "raw_scale": zero},
        "likelihood": {
            "decoder": {"network": {}, "head": {"kernel": eye, "bias": zero}}
        },
    }
    flat, unravel = ravel_pytree(params)
    return model, unravel(flat + MOVED * jax.random.normal(key, flat.shape)), x


def signal_to_noise(mean: np.ndarray, deviation: np.ndarray) -> float:
    """The mean over parameters of |mean| / deviation; 0 where both are 0."""
    tiny = np.finfo(np.float64).tiny
    return float((np.abs(mean) / np.maximum(deviation, tiny)).mean())


def distance(mean: np.ndarray, best: np.ndarray) -> float:
    """Between two gradients, relative to the length of the second."""
    return float(np.linalg.norm(mean - best) / np.linalg.norm(best))


def table(result: dict[str, Any]) -> str:
    """What a person reads."""
    header = "".join(f"{f'K = {K}':>10}" for K in result["num_particles"])
    lines = []
    for title, figure in (
        ("signal-to-noise ratio", "signal_to_noise"),
        ("variance", "variance"),
    ):
        for group in GROUPS:
            lines += ["", f"{f'{title}, {group}':34}{header}"]
            for name, groups in result[figure].items():
                cells = "".join(f"{value:10.3g}" for value in groups[group])
                lines.append(f"  {name:32}{cells}")
    lines += ["", f"{'distance of the mean from dreg':34}{header}"]
    for name, values in result["distance"].items():
        lines.append(f"  {name:32}" + "".join(f"{value:10.1%}" for value in values))
    lines += ["", f"Without a signal the ratio would be {result['floor']:.3f}."]
    return "\n".join(lines[1:])
