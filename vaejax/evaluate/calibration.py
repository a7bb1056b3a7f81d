"""Whether q(z|x) is the posterior of the model: simulation-based calibration."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from vaejax.base import Key, Model, Params, X, split
from vaejax.batch import example_keys
from vaejax.models import unconditional


class Calibration(NamedTuple):
    """How the ranks of true codes among posterior draws are spread."""

    histogram: jax.Array  # simulations of every dimension and bin, [D, bins]
    chi_square: jax.Array  # Pearson's statistic against even bins, [D]
    p_value: jax.Array  # of the statistic, [D]


@functools.partial(
    jax.jit,
    static_argnames=(
        "model",
        "num_simulations",
        "num_draws",
        "num_bins",
        "simulations",
    ),
)
def simulation_based_calibration(
    key: Key,
    model: Model,
    params: Params,
    num_simulations: int = 1000,
    num_draws: int = 127,
    num_bins: int = 16,
    *,
    simulations: int = 64,
) -> Calibration:
    r"""Compares q(z|x) with the posterior p(z|x) of the model itself.

    .. math:: r_d = \#\{l : z_d^{(l)} < z_d\}, \quad z \sim p(z), \quad x \sim p(x|z),
              \quad z^{(1)}, \ldots, z^{(L)} \sim q(z|x)

    Where q(z|x) = p(z|x) the rank is uniform on 0 to L. Ranks that heap up in the
    middle mean a posterior too wide, at both ends one too narrow, at one end one that
    is shifted. Each dimension has a chi-square test with `num_bins - 1` degrees of
    freedom; a small p-value rejects. To reject if any of D does, compare with the
    level over D. Uniform ranks do not prove equality: q(z|x) = p(z) has them too.

    Args:
      key: a scalar key.
      model: one whose likelihood can be sampled.
      params: its parameters.
      num_simulations: pairs (z, x), at least 5 for each bin.
      num_draws: L, posterior draws for each; `num_bins` must divide L + 1.
      num_bins: of the histogram, at least 2.
      simulations: how many are in memory at once.

    Returns:
      A `Calibration`: `histogram` `[D, num_bins]`, `chi_square` and `p_value` `[D]`.

    Raises:
      ValueError: if a count is out of its range, or bins would be of unequal size.
      TypeError: if the latents are a hierarchy, a part cannot be sampled, or the model
        waits for a condition.

    References:
      Talts et al., 2018, https://arxiv.org/abs/1804.06788.
    """
    _check(num_simulations, num_draws, num_bins, simulations)
    prior = unconditional(model, "simulation_based_calibration").prior(params)

    def rank(key: Key) -> jax.Array:
        z_key, x_key, draw_key = split(key[None], 3)  # a batch of one
        z = prior.sample(z_key, (1,))  # [1, D]
        if not isinstance(z, jax.Array):
            raise TypeError(
                f"The codes of this model are {jax.tree.structure(z)}, as in a "
                "hierarchy: ranks need one array, so give a model of one layer."
            )
        x: X = model.decode(params, z).sample(x_key)
        draws = model.encode(params, x).sample(draw_key, (num_draws,))  # [L, 1, D]
        return (draws < z).sum(axis=0).reshape(-1)  # [D]

    with jax.default_matmul_precision("highest"):
        keys = example_keys(key, num_simulations)
        ranks = jax.lax.map(rank, keys, batch_size=simulations)  # [S, D]
    bins = ranks // ((num_draws + 1) // num_bins)
    histogram = (bins[..., None] == jnp.arange(num_bins)).sum(axis=0)  # [D, bins]
    expected = num_simulations / num_bins
    chi_square = ((histogram - expected) ** 2 / expected).sum(axis=-1)
    p_value = jax.scipy.special.gammaincc((num_bins - 1) / 2, chi_square / 2)
    return Calibration(histogram, chi_square, p_value)


def _check(
    num_simulations: int, num_draws: int, num_bins: int, simulations: int
) -> None:
    if min(num_draws, simulations) < 1 or num_bins < 2:
        raise ValueError(
            "num_draws and simulations must be at least 1 and num_bins at least 2, got "
            f"{num_draws}, {simulations} and {num_bins}."
        )
    if (num_draws + 1) % num_bins:
        raise ValueError(
            f"{num_draws + 1} ranks, 0 to {num_draws}, do not fill {num_bins} equal "
            f"bins: choose num_draws one less than a multiple of num_bins, such as "
            f"{8 * num_bins - 1}."
        )
    if num_simulations < 5 * num_bins:
        raise ValueError(
            "The chi-square test needs 5 simulations for each bin: num_simulations "
            f"must be at least {5 * num_bins}, got {num_simulations}."
        )
