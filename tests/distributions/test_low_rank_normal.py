import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from tests import toy
from vaejax import distributions
from vaejax.distributions import Bernoulli, FullNormal, LowRankNormal, Normal

kl_divergence = jax.jit(distributions.kl_divergence)

RNG = np.random.default_rng(0)
LOC = RNG.normal(size=(3, 4)).astype(np.float32)
SCALE = RNG.uniform(0.3, 2.0, size=(3, 4)).astype(np.float32)
FACTOR = RNG.normal(size=(3, 4, 2)).astype(np.float32)
X = RNG.normal(size=(5, 3, 4)).astype(np.float32)
Q = LowRankNormal(jnp.array(LOC), jnp.array(SCALE), jnp.array(FACTOR))
P = Normal(jnp.array([0.1, -0.4, 0.2, 1.0]), jnp.array([0.5, 1.0, 2.0, 1.5]))


def covariance(scale, factor):
    scale, factor = np.asarray(scale, np.float64), np.asarray(factor, np.float64)
    diagonal = scale[..., None] ** 2 * np.eye(scale.shape[-1])
    return diagonal + factor @ factor.swapaxes(-1, -2)


COV = covariance(SCALE, FACTOR)


def log_prob(x, loc, cov):
    x, loc = np.asarray(x, np.float64), np.asarray(loc, np.float64)
    return scipy.stats.multivariate_normal(loc, cov, allow_singular=True).logpdf(x)


def test_log_prob_is_scipys():
    expected = [log_prob(X[:, i], LOC[i], COV[i]) for i in range(3)]
    np.testing.assert_allclose(
        toy.log_prob(Q, X), np.stack(expected, axis=1), rtol=2e-5
    )
    crossed = [log_prob(X[:, 0], LOC[i], COV[i]) for i in range(3)]
    got = toy.log_prob(Q, X[:, 0, None])
    np.testing.assert_allclose(got, np.stack(crossed, axis=1), rtol=2e-5)


def test_draws_have_the_mean_and_the_covariance_of_the_distribution():
    z = np.asarray(toy.sample(Q, jax.random.key(0), (4000,)), np.float64) - LOC
    toy.same_mean(z)
    toy.same_mean(z[..., :, None] * z[..., None, :], COV)


def test_at_full_rank_it_is_the_full_covariance():
    matrix = RNG.normal(size=(3, 4, 4))
    cov = matrix @ matrix.swapaxes(1, 2) + 0.3 * np.eye(4)
    scale = np.full((3, 4), 0.4)  # below the least eigenvalue
    factor = np.linalg.cholesky(cov - 0.16 * np.eye(4))
    low = LowRankNormal(Q.loc, jnp.asarray(scale, float), jnp.asarray(factor, float))
    full = FullNormal(Q.loc, jnp.asarray(np.linalg.cholesky(cov), float))
    np.testing.assert_allclose(toy.log_prob(low, X), toy.log_prob(full, X), rtol=1e-5)
    expected = kl_divergence(full, P)
    np.testing.assert_allclose(kl_divergence(low, P), expected, rtol=1e-5)


def test_without_a_factor_it_is_the_diagonal_normal():
    low, diagonal = Q.replace(factor=0 * Q.factor), Normal(Q.loc, Q.scale)
    np.testing.assert_allclose(
        toy.log_prob(low, X), toy.log_prob(diagonal, X), rtol=1e-5
    )
    expected = kl_divergence(diagonal, P)
    np.testing.assert_allclose(kl_divergence(low, P), expected, rtol=1e-6)
    assert kl_divergence(LowRankNormal(P.loc, P.scale, jnp.zeros((4, 2))), P) == 0


def test_the_divergence_is_that_of_the_full_covariance_and_the_mean_of_its_terms():
    full = FullNormal(Q.loc, jnp.asarray(np.linalg.cholesky(COV), float))
    got = kl_divergence(Q, P)
    np.testing.assert_allclose(got, kl_divergence(full, P), rtol=1e-5)
    z = toy.sample(Q, jax.random.key(0), (4000,))
    log_q = toy.log_prob(Q, z)
    toy.same_mean(log_q - toy.log_prob(P, z), got)
    with pytest.raises(TypeError, match="sampled"):
        kl_divergence(Q, Bernoulli(jnp.zeros(4)))


@pytest.mark.parametrize("scale", [1e-1, 1e-2, 1e-3])
def test_nothing_cancels_where_the_factor_is_far_above_the_scale(scale):
    q = Q.replace(scale=jnp.full((3, 4), scale))
    z = toy.sample(q, jax.random.key(1), (20,))
    cov = covariance(q.scale, q.factor)
    expected = np.stack([log_prob(z[:, i], LOC[i], cov[i]) for i in range(3)], axis=1)
    # z itself is rounded to 2^-24 |z|, that is to so many scales.
    np.testing.assert_allclose(toy.log_prob(q, z), expected, atol=1e-4 + 1e-5 / scale)


def test_values_and_gradients_are_finite_at_the_ends_of_the_scale():
    scale = jnp.exp(jnp.array([-7.0, 7.0, -7.0, 7.0]))

    @jax.jit
    def value(scale, factor):
        q = LowRankNormal(Q.loc[0], scale, factor)
        return toy.log_prob(q, X[:, 0]).sum() + kl_divergence(q, P)

    for factor in (Q.factor[0], 0 * Q.factor[0], 100 * Q.factor[0]):
        out, grads = jax.value_and_grad(value, argnums=(0, 1))(scale, factor)
        assert all(np.isfinite(leaf).all() for leaf in (out, *grads))


def test_temperature_scales_the_deviations_from_the_mean():
    key = jax.random.key(3)
    cold = toy.sample(Q.tempered(0.5), key, (7,)) - Q.loc
    warm = toy.sample(Q, jax.random.clone(key), (7,)) - Q.loc
    np.testing.assert_allclose(cold, 0.5 * warm, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 1e-2, 1.0])
def test_columns_that_are_parallel_lose_no_digit(scale):
    """Where I + W^T W is formed, its Cholesky factor has no real root."""
    column = RNG.normal(size=(3, 4, 1)).astype(np.float32)
    factor = 5 * np.concatenate([column, column], axis=-1)
    scales = np.full((3, 4), scale, np.float32)
    q = LowRankNormal(jnp.array(LOC), jnp.array(scales), jnp.array(factor))
    x = q.sample(jax.random.key(0), (20,))
    expected = [
        log_prob(x[:, i], LOC[i], covariance(scales[i], factor[i])) for i in range(3)
    ]
    np.testing.assert_allclose(
        q.log_prob(x), np.stack(expected, axis=1), rtol=1e-4, atol=0.05
    )
    gradient = jax.grad(lambda q: q.log_prob(x).sum() + q.kl_to(P).sum())(q)
    for leaf in jax.tree.leaves(gradient):
        assert np.isfinite(leaf).all()
