import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from tests import toy
from vaejax.distributions import (
    Bernoulli,
    FullNormal,
    Normal,
    PointMass,
    kl_divergence,
)

Q = Normal(jnp.array([[0.5, -1.0], [2.0, 0.1]]), jnp.array([[0.5, 2.0], [1.5, 0.3]]))
P = Normal(jnp.array([0.2, 0.4]), jnp.array([1.3, 0.8]))


def test_it_is_the_integral_of_its_definition_summed_over_the_event():
    def one(q_loc, q_scale, p_loc, p_scale):
        q, p = scipy.stats.norm(q_loc, q_scale), scipy.stats.norm(p_loc, p_scale)
        ends = q_loc - 12 * q_scale, q_loc + 12 * q_scale
        return scipy.integrate.quad(
            lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), *ends, limit=200
        )[0]

    leaves = [np.asarray(leaf, float) for leaf in (Q.loc, Q.scale, P.loc, P.scale)]
    expected = np.vectorize(one)(*leaves).sum(axis=-1)
    np.testing.assert_allclose(kl_divergence(Q, P), expected, rtol=1e-5)
    terms = kl_divergence(Q.replace(event_ndims=0), P.replace(event_ndims=0))
    np.testing.assert_allclose(terms.sum(axis=-1), expected, rtol=1e-5)


def test_it_is_the_mean_of_log_q_minus_log_p():
    z, log_q = Q.sample_and_log_prob(jax.random.key(0), (20_000,))
    toy.same_mean(log_q - P.log_prob(z), kl_divergence(Q, P))


def test_it_is_exactly_zero_at_q_equal_to_p():
    assert kl_divergence(P, P) == 0


# The excess of the ratio over 1, as far as float32 tells the two scales apart.
@pytest.mark.parametrize("excess", [1e-4, -1e-4, 1e-3, -1e-2])
@pytest.mark.parametrize("p_scale", [1.0, 0.37, 5.0])
def test_it_keeps_its_digits_where_q_is_close_to_p(excess, p_scale):
    scales = np.float32(p_scale * (1 + excess)), np.float32(p_scale)

    def kl(scale):
        return kl_divergence(Normal(0.3, scale, 0), Normal(0.3, scales[1], 0))

    exact = float(scales[0]) / float(scales[1])  # float64 from here
    expected = 0.5 * (exact**2 - 1 - 2 * np.log(exact))
    slope = (exact - 1 / exact) / float(scales[1])
    value, gradient = jax.value_and_grad(kl)(scales[0])
    # 2 rho is rounded to 1 part in 2^24, and rho^2 is left of it.
    tolerance = 4 * 2.0**-24 / abs(exact - 1)
    np.testing.assert_allclose(value, expected, rtol=tolerance)
    np.testing.assert_allclose(gradient, slope, rtol=tolerance)


def test_the_textbook_form_loses_those_digits():
    """Why the library does not use it; else the test above would prove nothing."""
    ratio = np.float32(1 + 1e-4)
    textbook = 0.5 * (ratio**2 - np.float32(1) - 2 * np.log(ratio))
    exact = float(ratio)
    expected = 0.5 * (exact**2 - 1 - 2 * np.log(exact))
    assert abs(textbook - expected) > 0.5 * expected


@pytest.mark.parametrize("pair", [(P, Bernoulli(jnp.zeros(2))), (PointMass(P.loc), P)])
def test_a_pair_without_a_closed_form_is_an_error_that_names_sampled(pair):
    with pytest.raises(TypeError, match="sampled"):
        kl_divergence(*pair)


@pytest.mark.parametrize("scale", [1e-5, 1e-3, 0.3, 3.0, 1e3, 1e5])
@pytest.mark.parametrize("other", [1e-3, 1.0, 1e3])
def test_it_is_that_of_float64_for_scales_far_apart(scale, other):
    exact = float(np.float32(scale)) / float(np.float32(other))
    expected = 0.5 * (exact**2 - 1 - 2 * np.log(exact))
    p = Normal(0.0, jnp.float32(other), 0)

    def kl(scale):
        return kl_divergence(Normal(0.0, scale, 0), p)

    value, slope = jax.value_and_grad(kl)(jnp.float32(scale))
    np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-12)
    slopes = (exact - 1 / exact) / float(np.float32(other))
    np.testing.assert_allclose(slope, slopes, rtol=1e-5, atol=1e-12)
    full, wide = (FullNormal(jnp.zeros(1), s * jnp.eye(1)) for s in (scale, other))
    np.testing.assert_allclose(full.kl_to(wide), expected, rtol=1e-6, atol=1e-12)
