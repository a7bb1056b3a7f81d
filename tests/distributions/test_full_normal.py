import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from tests import toy
from vaejax import distributions
from vaejax.distributions import Bernoulli, FullNormal, Normal

kl_divergence = jax.jit(distributions.kl_divergence)

RNG = np.random.default_rng(0)
LOC = RNG.normal(size=(3, 4)).astype(np.float32)
MATRIX = RNG.normal(size=(3, 4, 4))
COV = MATRIX @ MATRIX.swapaxes(1, 2) + 0.3 * np.eye(4)
TRIL = np.linalg.cholesky(COV).astype(np.float32)
X = RNG.normal(size=(5, 3, 4)).astype(np.float32)
Q = FullNormal(jnp.array(LOC), jnp.array(TRIL))
P = Normal(jnp.array([0.1, -0.4, 0.2, 1.0]), jnp.array([0.5, 1.0, 2.0, 1.5]))


def log_prob(x, loc, cov):
    return scipy.stats.multivariate_normal(loc, cov).logpdf(x)


def kl(loc_q, cov_q, loc_p, cov_p):
    """The textbook, in float64, with an inverse and determinants."""
    shift, inverse = loc_p - loc_q, np.linalg.inv(cov_p)
    log_dets = np.linalg.slogdet(cov_p)[1] - np.linalg.slogdet(cov_q)[1]
    trace = np.trace(inverse @ cov_q)
    return 0.5 * (trace + shift @ inverse @ shift - len(shift) + log_dets)


def test_log_prob_is_scipys():
    expected = [log_prob(X[:, i], LOC[i], COV[i]) for i in range(3)]
    np.testing.assert_allclose(
        toy.log_prob(Q, X), np.stack(expected, axis=1), rtol=2e-5
    )


def test_every_value_may_meet_every_member_of_the_batch():
    got = toy.log_prob(Q, X[:, 0, None])  # [5, 1, 4] and [3, 4]
    expected = [log_prob(X[:, 0], LOC[i], COV[i]) for i in range(3)]
    np.testing.assert_allclose(got, np.stack(expected, axis=1), rtol=2e-5)
    np.testing.assert_allclose(toy.log_prob(Q, X[0, 0]), got[0], rtol=1e-5)
    one = FullNormal(Q.loc, Q.scale_tril[0])  # one covariance, many locs
    expected = [log_prob(X[:, i], LOC[i], COV[0]) for i in range(3)]
    np.testing.assert_allclose(
        toy.log_prob(one, X), np.stack(expected, axis=1), rtol=2e-5
    )


def test_draws_have_the_mean_and_the_covariance_of_the_distribution():
    z = np.asarray(toy.sample(Q, jax.random.key(0), (4000,)), np.float64) - LOC
    toy.same_mean(z)
    toy.same_mean(z[..., :, None] * z[..., None, :], COV)


def test_a_diagonal_factor_is_the_diagonal_normal():
    scale = jnp.array([0.5, 2.0, 1.0, 0.1])
    full, diagonal = FullNormal(Q.loc, jnp.diag(scale)), Normal(Q.loc, scale)
    a, b = toy.sample(full, jax.random.key(0)), toy.sample(diagonal, jax.random.key(0))
    np.testing.assert_allclose(a, b, rtol=1e-6)
    np.testing.assert_allclose(
        toy.log_prob(full, X), toy.log_prob(diagonal, X), rtol=1e-5
    )
    expected = kl_divergence(diagonal, P)
    np.testing.assert_allclose(kl_divergence(full, P), expected, rtol=1e-5)


def test_the_divergence_is_the_textbooks_and_the_mean_of_log_q_minus_log_p():
    full = FullNormal(Q.loc[1], Q.scale_tril[1])
    z = toy.sample(Q, jax.random.key(0), (4000,))
    log_q = toy.log_prob(Q, z)
    diagonal = np.diag(np.asarray(P.scale, np.float64) ** 2)
    for p, loc, cov in [(P, P.loc, diagonal), (full, LOC[1], COV[1])]:
        expected = [kl(LOC[i], COV[i], loc, cov) for i in range(3)]
        got = kl_divergence(Q, p)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
        toy.same_mean((log_q - toy.log_prob(p, z))[:, [0, 2]], got[np.array([0, 2])])
    with pytest.raises(TypeError, match="sampled"):
        kl_divergence(Q, Bernoulli(jnp.zeros(4)))


def test_the_divergence_keeps_its_digits_where_q_is_close_to_p():
    assert kl_divergence(Q, Q).max() == 0
    tilt = 1e-4 * np.tril(np.ones((4, 4)), -1) + 1e-4 * np.eye(4)
    near = FullNormal(Q.loc, Q.scale_tril @ (jnp.eye(4) + jnp.asarray(tilt, float)))
    tril = np.asarray(near.scale_tril, np.float64)
    a = np.linalg.solve(TRIL.astype(np.float64), tril)
    own = np.diagonal(a, axis1=1, axis2=2)
    below = (np.tril(a, -1) ** 2).sum(axis=(1, 2))
    expected = 0.5 * ((own**2 - 1 - 2 * np.log(own)).sum(axis=1) + below)
    np.testing.assert_allclose(kl_divergence(near, Q), expected, rtol=2e-2)


def test_values_and_gradients_are_finite_at_the_ends_of_the_scale():
    scale = jnp.exp(jnp.array([-7.0, 7.0, -7.0, 7.0]))
    tril = jnp.diag(scale) + jnp.tril(jnp.full((4, 4), 3.0), -1)

    @jax.jit
    def value(loc, tril):
        q = FullNormal(loc, tril)
        return toy.log_prob(q, X[:, 0]).sum() + kl_divergence(q, P)

    out, grads = jax.value_and_grad(value, argnums=(0, 1))(Q.loc[0], tril)
    assert all(np.isfinite(leaf).all() for leaf in (out, *grads))


def test_temperature_scales_the_deviations_from_the_mean():
    key = jax.random.key(3)
    cold = toy.sample(Q.tempered(0.5), key, (7,)) - Q.loc
    warm = toy.sample(Q, jax.random.clone(key), (7,)) - Q.loc
    np.testing.assert_allclose(cold, 0.5 * warm, rtol=1e-4, atol=1e-5)
