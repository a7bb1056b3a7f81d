import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
import scipy.stats

from vaejax.distributions import Poisson
from vaejax.distributions.stirling import deviance, gamma_remainder, remainder

X = np.concatenate([np.arange(30), np.logspace(-3, 5, 200)]).astype(np.float32)


def expected(x):
    x = x.astype(float)
    return scipy.special.gammaln(x + 1) - scipy.special.xlogy(x, x) + x


def test_the_remainder_is_what_stirlings_formula_leaves_of_a_factorial():
    np.testing.assert_allclose(jax.jit(remainder)(X), expected(X), atol=2e-6)
    x = X[X > 0]
    gamma = expected(x) - np.log(x.astype(float))
    np.testing.assert_allclose(jax.jit(gamma_remainder)(x), gamma, rtol=1e-6, atol=2e-6)
    with jax.enable_x64(True):
        wide = jax.jit(remainder)(x.astype(float))
        np.testing.assert_allclose(wide, expected(x), atol=1e-9)


def test_its_slope_is_the_digammas():
    x = X[X > 0].astype(float)
    slope = scipy.special.digamma(x + 1) - np.log(x)
    got = jax.jit(jax.vmap(jax.grad(remainder)))(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(got, slope, rtol=2e-5, atol=2e-6)


def test_the_deviance_is_zero_at_the_mean_and_keeps_its_digits_beside_it():
    m = np.float32([0.5, 3, 100, 1e4])
    got = jax.jit(deviance)
    assert not np.asarray(got(m, m)).any()
    for ratio in (0.0, 1e-6, 0.9, 0.999, 1.001, 1.3, 40.0):
        x = (m * np.float32(ratio)).astype(np.float32)
        exact = x.astype(float), m.astype(float)
        own = scipy.special.xlogy(exact[0], exact[0] / exact[1]) - exact[0] + exact[1]
        # To rounding of the gap, whose square it falls with.
        error = np.abs(np.asarray(got(x, m), float) - own)
        assert (error <= 1e-6 * own + 2e-7 * np.abs(x - m)).all()


def test_the_textbook_mass_loses_the_digits_that_this_one_keeps():
    x, m = np.float32(10_100), np.float32(10_000)
    exact = scipy.stats.poisson(1e4).logpmf(10_100)
    textbook = x * jnp.log(m) - m - jax.lax.lgamma(x + 1)
    assert abs(float(textbook) - exact) > 1e-3
    assert abs(float(Poisson(m, 0).log_prob(x)) - exact) < 1e-5
