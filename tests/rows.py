"""The contract table: a row for every objective, posterior, prior, likelihood, flow.

`test_contract.py` checks each row on one device, `test_parallel.py` on four.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import vaejax
from tests import toy
from vaejax import flows, likelihoods, networks, posteriors, priors
from vaejax.objectives import (
    beta_tc,
    capacity,
    ciwae,
    conditional,
    denoising,
    dip,
    elbo,
    free_bits,
    info_mmd,
    iwae,
    m2,
    masked,
    miwae,
    piwae,
    reconstruction,
    regularized,
    renyi,
    sliced_wasserstein,
    wae_mmd,
)
from vaejax.rates import path_derivative, sampled

BATCH, LATENT = 8, 2
X = toy.bits(BATCH, 6)
COUNTS = jax.random.randint(jax.random.key(5), (BATCH, 6), 0, 10).astype(float)
LEVELS = jnp.floor(COUNTS / 2) / 4  # 5 of them


class Row(NamedTuple):
    """One part that is looked at, among plain others, and a batch for it."""

    objective: vaejax.Objective
    model: Any
    x: Any = X


def flip(key, x):
    noise = jax.vmap(lambda key: jax.random.bernoulli(key, 0.2, x.shape[1:]))(key)
    return jnp.abs(x - noise)


def row(
    objective=None,
    posterior=posteriors.diagonal_normal,
    prior=priors.standard_normal,
    likelihood=likelihoods.bernoulli,
    network=None,
    x=X,
):
    """The row of one part; a part with flags is a `partial` of its factory."""
    network = network or networks.mlp(hidden=(5,))
    model = vaejax.latent_variable_model(
        posterior(network, LATENT), prior(LATENT), likelihood(network, x.shape[1:])
    )
    return Row(objective or elbo(), model, x)


def conditional_row(objective, y):
    """The row of an objective on pairs `(x, y)`."""
    network = networks.mlp(hidden=(5,))
    model = vaejax.conditional_latent_variable_model(
        posteriors.diagonal_normal(network, LATENT),
        priors.standard_normal(LATENT),
        likelihoods.bernoulli(network, X.shape[1:]),
        num_classes=3 if y.ndim == 1 else None,
    )
    return Row(objective, model, (X, y))


def flow_row(flow, **hyperparameters):
    """The row of a flow: a prior of two of them."""
    prior = partial(priors.flow, flow=partial(flow, **hyperparameters), num_flows=2)
    return row(elbo(rate=sampled), prior=prior)


LABEL = jnp.arange(BATCH) % 3
SOME_LABELS = jnp.where(LABEL < 1, LABEL, -1)
MASK = jnp.arange(X.size).reshape(X.shape) % 4 > 0
THREE = {"num_components": 3}
SMALL = {"num_flows": 2, "context_dim": 3}  # flows in a posterior
CLASSIFIER = networks.headed(networks.mlp(hidden=(4,)), 3)
FOUR = {"num_particles": 2, "num_bounds": 2}
normal = likelihoods.normal
mixture = partial(likelihoods.discretized_logistic_mixture, num_levels=5)
IMAGES = toy.bits(BATCH, 8 * 9).reshape(BATCH, 8, 9)
ROWS = {
    # Objectives.
    "elbo": row(elbo(beta=0.5)),
    "elbo, sampled": row(elbo(rate=sampled)),
    "elbo, path derivative": row(elbo(rate=path_derivative)),
    "elbo, 3 particles": row(elbo(num_particles=3)),
    "capacity": row(capacity(gamma=3.0, capacity=2.0)),
    "capacity, per example": row(capacity(gamma=3.0, capacity=2.0, per="example")),
    "free bits": row(free_bits(free_nats=0.01)),
    "free bits, per group": row(free_bits(free_nats=0.02, kind="per_group")),
    "iwae": row(iwae(num_particles=3)),
    "iwae, stl": row(iwae(num_particles=3, gradient="stl")),
    "iwae, dreg": row(iwae(num_particles=3, gradient="dreg")),
    "iwae, resampled": row(iwae(num_particles=3, gradient="resampled")),
    "miwae": row(miwae(**FOUR)),
    "miwae, dreg": row(miwae(**FOUR, gradient="dreg")),
    "piwae": row(piwae(**FOUR)),
    "piwae, dreg": row(piwae(**FOUR, gradient="dreg")),
    "ciwae": row(ciwae(num_particles=3)),
    "ciwae, dreg": row(ciwae(num_particles=3, gradient="dreg")),
    "renyi": row(renyi(num_particles=3)),
    "renyi, dreg": row(renyi(num_particles=3, gradient="dreg")),
    "denoising": row(denoising(elbo(), flip)),
    "reconstruction": row(reconstruction()),
    "conditional": conditional_row(conditional(elbo()), LABEL),
    "conditional, numbers": conditional_row(conditional(elbo()), X[:, :2]),
    "masked": row(masked(iwae(num_particles=3)))._replace(
        x=(jnp.where(MASK, X, jnp.nan), MASK)
    ),
    "beta tc": row(beta_tc(num_examples=100)),
    "beta tc, stratified": row(beta_tc(num_examples=100, estimator="stratified")),
    "dip": row(dip(kind="ii")),
    "dip, of draws": row(dip(kind="ii"), posterior=posteriors.full_normal),
    "info mmd": row(info_mmd(alpha=0.5)),
    "wae mmd": row(wae_mmd(scales=(0.5, 2.0)), prior=priors.normal),
    "sliced wasserstein": row(sliced_wasserstein(num_projections=5)),
    "regularized, l2": row(regularized(kind="l2"), posteriors.point_mass),
    "regularized, gradient penalty": row(regularized(kind="gradient_penalty")),
    "regularized, spectral": row(regularized(kind="spectral")),
    "m2": conditional_row(m2(elbo(), CLASSIFIER), SOME_LABELS),
    # Posteriors.
    "point mass": row(reconstruction(), posterior=posteriors.point_mass),
    "full normal": row(posterior=posteriors.full_normal),
    "low-rank normal": row(posterior=partial(posteriors.low_rank_normal, rank=1)),
    "planar": row(elbo(rate=sampled), partial(posteriors.planar, **SMALL)),
    "radial": row(elbo(rate=sampled), partial(posteriors.radial, **SMALL)),
    "sylvester": row(elbo(rate=sampled), partial(posteriors.sylvester, **SMALL)),
    "iaf": row(iwae(num_particles=3), partial(posteriors.iaf, hidden=(6,), **SMALL)),
    "flow posterior": row(
        elbo(rate=path_derivative), partial(posteriors.flow, **SMALL)
    ),
    # Priors.
    "standard normal": row(prior=priors.standard_normal),
    "normal prior": row(prior=priors.normal),
    "mixture prior": row(elbo(rate=sampled), prior=partial(priors.mixture, **THREE)),
    "vamp": row(iwae(num_particles=3), prior=partial(priors.vamp, **THREE)),
    "vamp of full normals, learned weights": row(
        elbo(rate=sampled),
        posteriors.full_normal,
        partial(priors.vamp, weights="learned", **THREE),
    ),
    "autoregressive prior": row(
        elbo(rate=sampled), prior=partial(priors.autoregressive, hidden=(4,), **THREE)
    ),
    # Flows, as priors.
    "affine coupling": flow_row(flows.affine_coupling, hidden=(4,)),
    "spline coupling": flow_row(flows.spline_coupling, hidden=(4,), num_bins=3),
    "masked autoregressive": flow_row(flows.masked_autoregressive, hidden=(4,)),
    "inverse autoregressive": flow_row(flows.inverse_autoregressive, hidden=(4,)),
    "linear flow": flow_row(flows.linear),
    "permutation": flow_row(flows.permutation, seed=1),
    # Likelihoods.
    "ms-ssim": row(
        likelihood=partial(likelihoods.ms_ssim, window=3),
        x=toy.bits(8, 64).reshape(8, 8, 8),
    ),
    "normal": row(likelihood=partial(normal, scale=0.5)),
    "normal, learned": row(likelihood=partial(normal, scale="learned")),
    "normal, per dimension": row(likelihood=partial(normal, scale="per_dimension")),
    "normal, optimal": row(likelihood=partial(normal, scale="optimal")),
    "continuous bernoulli": row(likelihood=likelihoods.continuous_bernoulli, x=LEVELS),
    "laplace": row(likelihood=partial(likelihoods.laplace, scale="learned"), x=COUNTS),
    "student t": row(likelihood=likelihoods.student_t, x=COUNTS),
    "discretized logistic": row(
        likelihood=partial(likelihoods.discretized_logistic, num_levels=5), x=LEVELS
    ),
    "logistic mixture": row(likelihood=partial(mixture, num_components=2), x=LEVELS),
    "coupled logistic mixture": row(
        likelihood=partial(mixture, num_components=2, coupling=True),
        x=LEVELS.reshape(8, 2, 1, 3),
    ),
    "categorical": row(
        likelihood=partial(likelihoods.categorical, num_categories=5), x=LEVELS
    ),
    "tokens": row(
        likelihood=partial(likelihoods.categorical, num_categories=10, tokens=True),
        x=COUNTS.astype(int),
    ),
    "beta-binomial": row(
        likelihood=partial(likelihoods.beta_binomial, total_count=4), x=LEVELS
    ),
    "poisson": row(likelihood=likelihoods.poisson, x=COUNTS),
    "negative binomial": row(likelihood=likelihoods.negative_binomial, x=COUNTS),
    "zero-inflated negative binomial": row(
        likelihood=partial(
            likelihoods.zero_inflated_negative_binomial, concentration="decoded"
        ),
        x=COUNTS,
    ),
    # Networks.
    "conv": row(network=networks.conv(channels=(4, 6), hidden=(5,)), x=IMAGES),
    "residual": row(network=networks.residual(channels=(4,), hidden=(5,)), x=IMAGES),
}
