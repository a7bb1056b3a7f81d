import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from tests import toy
from vaejax import priors
from vaejax.distributions import Normal
from vaejax.rates import sampled


def made(family, seed=0):
    return family.make(family.init(jax.random.key(seed), None), None)


def test_a_learned_normal_starts_at_the_standard_one():
    p = made(priors.normal(3))
    np.testing.assert_array_equal(p.loc, np.zeros(3))
    np.testing.assert_array_equal(p.scale, np.ones(3))


def test_the_components_start_apart_with_equal_weights():
    p = made(priors.mixture(3, num_components=7))
    assert p.components.loc.shape == (7, 3)
    assert len(np.unique(p.components.loc)) == 21
    np.testing.assert_array_equal(p.components.scale, np.ones((7, 3)))
    np.testing.assert_array_equal(p.logits, np.zeros(7))


def test_the_sampled_rate_is_that_of_vade_for_the_pair_of_code_and_cluster():
    p = made(priors.mixture(3, num_components=4))
    p = p.replace(logits=jnp.array([0.5, -1.0, 0.0, 2.0]))
    q = Normal(jnp.ones((6, 3)), jnp.full((6, 3), 0.5))
    z, log_q = q.sample_and_log_prob(jax.random.key(1), (5,))
    # E_{q(c|x)}[log q(z|x) + log q(c|x) - log p(z|c) - log p(c)], q(c|x) = p(c|z).
    loc, scale = np.asarray(p.components.loc), np.asarray(p.components.scale)
    log_z = toy.log_normal(np.asarray(z)[..., None, :], loc, scale)
    log_c = scipy.special.log_softmax(np.asarray(p.logits, np.float64))
    gamma = scipy.special.softmax(log_z + log_c, axis=-1)
    inner = np.log(gamma) - log_z - log_c
    expected = np.asarray(log_q, np.float64) + (gamma * inner).sum(axis=-1)
    got = sampled(q, p, z, log_q)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(p.responsibilities(z), gamma, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    "factory", [priors.mixture, priors.vamp, priors.autoregressive]
)
def test_a_count_below_1_is_an_error_that_names_it(factory):
    with pytest.raises(ValueError, match="at least 1, got 2 and 0"):
        factory(2, num_components=0)
    with pytest.raises(ValueError, match="at least 1, got 0 and 3"):
        factory(0, num_components=3)


def test_a_normal_of_no_dimensions_is_an_error():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        priors.normal(0)
