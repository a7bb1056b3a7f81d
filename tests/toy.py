"""Models whose answers are known exactly, and small ones that compile in no time."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
import scipy.stats

import vaejax
from vaejax import likelihoods, networks, posteriors, priors
from vaejax.distributions.bounded_scale import LOG_BOUND

FALSE_ALARM = 1e-6  # of a whole statistical test, whatever its number of coordinates


# As one program each, which compiles sooner than one for every operation.
log_prob = jax.jit(lambda p, value: p.log_prob(value))
sample = jax.jit(lambda p, key, shape=(): p.sample(key, shape), static_argnums=2)


def identity() -> tuple[Any, Any]:
    """The network without parameters, as a pair of pure functions."""
    return (lambda key, x: {}), (lambda params, x: x)


def keys(seed: int, num: int) -> jax.Array:
    """One key per example, new at every call: `[num]`."""
    return jax.random.split(jax.random.key(seed), num)


def bits(num: int = 8, dim: int = 6, seed: int = 9) -> jax.Array:
    """Binary data `[num, dim]`."""
    return jax.random.bernoulli(jax.random.key(seed), 0.5, (num, dim)).astype(float)


def small_vae(dim: int = 6, latent_dim: int = 2, hidden: Any = (5,)) -> vaejax.Model:
    """A Bernoulli VAE on `[B, dim]`."""
    return vaejax.latent_variable_model(
        posteriors.diagonal_normal(networks.mlp(hidden=hidden), latent_dim),
        priors.standard_normal(latent_dim),
        likelihoods.bernoulli(networks.mlp(hidden=hidden), (dim,)),
    )


def same_mean(draws: Any, exact: Any = 0.0) -> None:
    """Asserts E[draws] = exact for independent rows `[N, ...]`.

    Each coordinate may be off by the number of standard errors that a normal deviate
    passes with probability `FALSE_ALARM` over all coordinates, and by rounding.
    """
    draws, exact = np.asarray(draws, np.float64), np.asarray(exact, np.float64)
    error = draws.std(axis=0, ddof=1) / math.sqrt(len(draws))
    limit = scipy.stats.norm.isf(FALSE_ALARM / (2 * error.size)) * error
    limit = limit + 1e-6 * np.abs(exact)
    gap = np.abs(draws.mean(axis=0) - exact)
    print(f"smallest error caught: {limit.max():.2g}, largest gap: {gap.max():.2g}")
    assert (gap <= limit).all(), f"off by {gap.max():.3g}, allowed {limit.max():.3g}"


class LinearGaussian(NamedTuple):
    r"""Probabilistic principal component analysis: everything is known.

    .. math:: z \sim N(0, I), \quad x | z \sim N(z W + b, \sigma^2 I)

    The rows of W are orthogonal, so the true posterior is a diagonal normal and
    `diagonal_normal` after an affine encoder expresses it.
    """

    weight: np.ndarray  # W, [D, P]
    bias: np.ndarray  # b, [P]
    noise: float  # sigma

    def log_prob(self, x: Any) -> np.ndarray:
        """log p(x), `[B]`, by scipy in float64."""
        cov = self.weight.T @ self.weight + self.noise**2 * np.eye(len(self.bias))
        x = np.asarray(x, np.float64)
        return scipy.stats.multivariate_normal(self.bias, cov).logpdf(x)

    def scale(self) -> np.ndarray:
        """Standard deviations of the true posterior, the same for every x: `[D]`."""
        precision = (self.weight**2).sum(axis=1) / self.noise**2 + 1
        return 1 / np.sqrt(precision)

    def loc(self, x: Any) -> np.ndarray:
        """Means of the true posterior, `[B, D]`."""
        gain = self.weight.T / self.noise**2 * self.scale() ** 2  # [P, D]
        return (np.asarray(x, np.float64) - self.bias) @ gain

    def draw(self, num: int, seed: int = 0) -> jax.Array:
        """Data `[num, P]`."""
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(num, len(self.weight)))
        eps = rng.normal(size=(num, len(self.bias)))
        return jnp.asarray(z @ self.weight + self.bias + self.noise * eps, float)

    def model(self) -> vaejax.Model:
        """A VAE that contains this model, as pure affine networks."""
        dim, event = self.weight.shape
        return vaejax.latent_variable_model(
            posteriors.diagonal_normal(identity(), dim),
            priors.standard_normal(dim),
            likelihoods.normal(identity(), (event,), scale=self.noise),
        )

    def params(self, shift: float = 0.0, stretch: float = 1.0) -> Any:
        """Its parameters, with the true posterior shifted and stretched.

        Shift counts posterior standard deviations; stretch multiplies them.
        """
        scale = self.scale()
        gain = self.weight.T / self.noise**2 * scale**2
        raw = 2 * LOG_BOUND * np.arctanh(np.log(stretch * scale) / LOG_BOUND)
        loc = shift * scale - self.bias @ gain
        posterior = {
            "kernel": np.concatenate([gain, np.zeros_like(gain)], axis=1),
            "bias": np.concatenate([loc, raw]),
        }
        params = {
            "posterior": {"network": {}, "head": posterior},
            "prior": {},
            "likelihood": {
                "decoder": {
                    "network": {},
                    "head": {"kernel": self.weight, "bias": self.bias},
                }
            },
        }
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, float), params)


def linear_gaussian(dim: int = 2, event: int = 4, seed: int = 0) -> LinearGaussian:
    """A random one whose weights have orthogonal rows."""
    rng = np.random.default_rng(seed)
    rows = np.linalg.qr(rng.normal(size=(event, dim)))[0].T
    lengths = np.linspace(1.5, 0.7, dim)[:, None]
    return LinearGaussian(lengths * rows, rng.normal(size=event), noise=0.5)


def log_normal(x: Any, loc: Any, scale: Any) -> np.ndarray:
    """The log density of a diagonal normal, summed over the last axis, by scipy."""
    x, loc, scale = (np.asarray(leaf, np.float64) for leaf in (x, loc, scale))
    return scipy.stats.norm(loc, scale).logpdf(x).sum(axis=-1)
