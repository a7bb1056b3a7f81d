import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from tests import toy
from vaejax.base import Distribution
from vaejax.distributions import Normal, kl_divergence
from vaejax.objectives import elbo
from vaejax.rates import analytic, path_derivative, sampled

RATES = {"sampled": sampled, "analytic": analytic, "path": path_derivative}


@struct.dataclass
class Logistic(Distribution):
    """A family that has no closed form with any other."""

    loc: jax.Array

    def sample(self, key, sample_shape=()):
        return self.loc + jax.random.logistic(key, sample_shape + self.loc.shape)

    def log_prob(self, value):
        gap = value - self.loc
        return (-gap - 2 * jax.nn.softplus(-gap)).sum(axis=-1)


def test_analytic_raises_for_an_unknown_pair_and_names_sampled():
    q, p = Logistic(jnp.zeros((3, 2))), Normal(jnp.zeros(2), jnp.ones(2))
    for pair in [(q, p), (p, q)]:
        with pytest.raises(TypeError, match=r"vaejax\.rates\.sampled"):
            pair[0].sample_and_rates(jax.random.key(0), pair[1], analytic)


def test_sampled_serves_any_pair():
    q, p = Logistic(jnp.zeros((3, 2))), Normal(jnp.zeros(2), jnp.ones(2))
    z, (rate,) = q.sample_and_rates(jax.random.key(0), p, sampled, (5,))
    np.testing.assert_allclose(rate, q.log_prob(z) - p.log_prob(z), rtol=1e-6)


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
def test_all_have_the_mean_of_the_divergence(rate):
    q = Normal(jnp.array([[0.5, -1.0], [2.0, 0.1]]), jnp.array([0.5, 2.0]))
    p = Normal(jnp.array([0.2, 0.4]), jnp.array([1.3, 0.8]))
    _, (rates,) = q.sample_and_rates(jax.random.key(0), p, rate, (20_000,))
    assert rates.shape == (20_000, 2)
    toy.same_mean(rates, kl_divergence(q, p))


def test_all_have_the_same_mean_gradient_as_the_divergence():
    p = Normal(jnp.array([0.2, 0.4]), jnp.array([1.3, 0.8]))
    loc, scale = jnp.array([0.5, -1.0]), jnp.array([0.5, 2.0])

    def gradients(rate):
        def one(key):
            def value(loc, scale):
                q = Normal(loc, scale)
                return q.sample_and_rates(key, p, rate)[1][0]

            return jax.grad(value, argnums=(0, 1))(loc, scale)

        return jax.jit(jax.vmap(one))(toy.keys(1, 20_000))

    exact = jax.grad(lambda *args: kl_divergence(Normal(*args), p), argnums=(0, 1))
    for rate in (sampled, path_derivative):
        for got, expected in zip(gradients(rate), exact(loc, scale), strict=True):
            toy.same_mean(got, expected)


def test_the_gradient_of_the_path_derivative_is_zero_at_the_true_posterior():
    toy_model = toy.linear_gaussian()
    model, params, x = toy_model.model(), toy_model.params(), toy_model.draw(16)

    @jax.jit
    def gradients(key):
        def of(rate):
            def loss(posterior):
                objective = elbo(rate=rate)
                own = params | {"posterior": posterior}
                return objective.loss(jax.random.clone(key), model, own, x)[0].mean()

            return jax.grad(loss)(params["posterior"])

        return of(path_derivative), of(sampled)

    path, score = (
        max(abs(leaf).max() for leaf in jax.tree.leaves(tree))
        for tree in gradients(toy.keys(0, 16))
    )
    assert path < 2e-5  # rounding
    assert score > 0.05  # the others keep the noise of the score


def test_the_analytic_rate_has_no_variance_and_the_shape_of_the_draws():
    q, p = Normal(jnp.ones((3, 2)), jnp.ones(2)), Normal(jnp.zeros(2), jnp.ones(2))
    _, (rate,) = q.sample_and_rates(toy.keys(0, 3), p, analytic, (5,))
    np.testing.assert_allclose(rate, np.ones((5, 3)), rtol=1e-6)
