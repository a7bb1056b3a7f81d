import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from tests import toy
from vaejax.distributions import Bernoulli, ContinuousBernoulli

NODES, WEIGHTS = np.polynomial.legendre.leggauss(80)
X, WEIGHTS = (NODES + 1) / 2, WEIGHTS / 2
SIZES = np.float32([0, 1e-7, 1e-3, 0.1, 0.499, 0.501, 1.0, 5.0, 30.0])
LOGITS = np.concatenate([-SIZES[::-1], SIZES])


def integrals(logits):
    """The log of the normaliser and the mean, by quadrature in float64."""
    density = np.exp(np.asarray(logits, float) * (X[:, None] - 0.5))
    total = WEIGHTS @ density
    return np.log(total), (WEIGHTS * X) @ density / total


def test_normaliser_mean_and_slope_keep_their_digits_through_zero():
    log_total, mean = integrals(LOGITS)

    @jax.jit
    def ask(logits):
        p = ContinuousBernoulli(logits, 0)
        slope = jax.grad(lambda logits: ContinuousBernoulli(logits).log_prob(0.5))
        return p.log_prob(0.5), p.mean(), slope(logits)

    log_prob, mine, slope = ask(jnp.asarray(LOGITS))
    np.testing.assert_allclose(log_prob, -log_total, rtol=2e-6, atol=2e-7)
    np.testing.assert_allclose(mine, mean, rtol=2e-6)
    np.testing.assert_allclose(slope, 0.5 - mean, rtol=5e-5, atol=1e-9)


def test_at_zero_it_is_uniform():
    assert float(ContinuousBernoulli(jnp.zeros(3)).log_prob(jnp.float32(0.3))) == 0


def test_draws_have_its_distribution_function_and_move_with_the_logits():
    logits = jnp.array([-8.0, -1e-3, 0.0, 0.02, 3.0, 2000.0])
    draws = jax.jit(lambda a, key: ContinuousBernoulli(a).sample(key, (3000,)))
    x = np.asarray(draws(logits, jax.random.key(0)), float)
    assert x.min() >= 0
    assert x.max() <= 1
    for i, logit in enumerate(np.asarray(logits, float)[:-1]):
        below = np.expm1(logit * x[:, i]) / np.expm1(logit) if logit else x[:, i]
        assert scipy.stats.kstest(below, "uniform").pvalue > toy.FALSE_ALARM
    toy.same_mean(x[:, -1], 1 - 1 / 2000)

    def one(logits, key):
        return jnp.sum(ContinuousBernoulli(logits).sample(key))

    slopes = jax.jit(jax.vmap(jax.grad(one), (None, 0)))
    got = slopes(logits[:5], toy.keys(1, 3000))
    steps = 1e-3
    up, down = (integrals(logits[:5] + step)[1] for step in (steps, -steps))
    toy.same_mean(got, (up - down) / (2 * steps))


def test_the_cross_entropy_of_grey_values_is_no_log_likelihood():
    """Why a Bernoulli will not do: its masses and densities do not sum to 1."""
    logits = jnp.float32(1.5)
    density = np.exp(Bernoulli(logits, 0).log_prob(jnp.asarray(X, jnp.float32)))
    assert abs(WEIGHTS @ density - 1) > 0.3
    proper = ContinuousBernoulli(logits, 0).log_prob(jnp.asarray(X, jnp.float32))
    np.testing.assert_allclose(WEIGHTS @ np.exp(proper), 1, rtol=1e-6)
