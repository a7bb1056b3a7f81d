import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import toy
from vaejax.base import Distribution, nothing
from vaejax.distributions import Normal
from vaejax.rates import sampled


class Bare(Distribution):
    """A distribution that can do nothing."""


@pytest.mark.parametrize(
    "method",
    [
        lambda q: q.sample(jax.random.key(0)),
        lambda q: q.log_prob(jnp.zeros(2)),
        lambda q: q.mean(),
        lambda q: q.replace(event_ndims=0),
    ],
    ids=["sample", "log_prob", "mean", "replace"],
)
def test_what_a_family_does_not_write_says_so_by_its_name(method):
    with pytest.raises(TypeError, match="Bare"):
        method(Bare())


def test_the_distortion_is_minus_log_prob_unless_a_likelihood_says_otherwise():
    p, x = Normal(jnp.zeros((2, 3)), jnp.ones(3)), jnp.ones((2, 3))
    np.testing.assert_array_equal(p.distortion(x), -p.log_prob(x))


def test_a_draw_comes_with_its_own_log_prob_and_one_rate():
    q = Normal(jnp.ones((4, 3)), 0.5 * jnp.ones((4, 3)))
    p = Normal(jnp.zeros(3), jnp.ones(3))
    z, log_q = q.sample_and_log_prob(toy.keys(0, 4), (2,))
    np.testing.assert_allclose(log_q, toy.log_normal(z, 1, 0.5), rtol=1e-5)
    z, rates = q.sample_and_rates(toy.keys(0, 4), p, sampled, (2,))
    assert [rate.shape for rate in rates] == [(2, 4)]
    expected = toy.log_normal(z, 1, 0.5) - toy.log_normal(z, 0, 1)
    np.testing.assert_allclose(rates[0], expected, rtol=1e-4, atol=1e-5)


def test_what_has_nothing_to_learn_has_an_empty_dictionary():
    assert nothing(jax.random.key(0), None) == {}
