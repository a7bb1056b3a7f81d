import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import toy
from vaejax.objectives import elbo
from vaejax.rates import sampled

EXACT = toy.linear_gaussian()
MODEL, X = EXACT.model(), EXACT.draw(16)


def test_the_bound_is_tight_at_the_true_posterior_for_every_draw():
    loss, _ = elbo(rate=sampled).loss(toy.keys(0, 16), MODEL, EXACT.params(), X)
    np.testing.assert_allclose(-loss, EXACT.log_prob(X), atol=1e-4)


def test_its_mean_is_the_closed_form_of_a_linear_gaussian_model():
    shift, stretch = 0.7, 1.4
    params = EXACT.params(shift, stretch)

    @jax.jit
    @jax.vmap
    def terms(key):
        keys = jax.random.split(key, 16)
        return elbo(num_particles=2).loss(keys, MODEL, params, X)[1]

    loc, scale = EXACT.loc(X) + shift * EXACT.scale(), stretch * EXACT.scale()
    rate = 0.5 * (scale**2 + loc**2 - 1 - 2 * np.log(scale)).sum(axis=-1)
    mean = toy.log_normal(X, loc @ EXACT.weight + EXACT.bias, EXACT.noise)
    spread = 0.5 * (scale**2 @ EXACT.weight**2).sum() / EXACT.noise**2
    metrics = terms(toy.keys(1, 2000))
    toy.same_mean(metrics["distortion"], spread - mean)
    toy.same_mean(metrics["rate"], rate)


def test_the_loss_is_the_distortion_plus_beta_rates():
    params = EXACT.params(0.5)

    def terms(beta):
        loss, metrics = elbo(beta=beta).loss(toy.keys(0, 16), MODEL, params, X)
        return loss, metrics["distortion"], metrics["rate"]

    for beta in (0, 1.0, 4.0, jnp.float32(0.3)):
        loss, distortion, rate = terms(beta)
        np.testing.assert_allclose(loss, distortion + beta * rate, rtol=1e-6)


def test_several_particles_are_averaged_and_a_point_is_their_mean():
    params, K = EXACT.params(0.5, 1.3), 3
    objective = elbo(rate=sampled, num_particles=K)
    loss, _ = objective.loss(toy.keys(0, 16), MODEL, params, X)
    z = np.asarray(MODEL.encode(params, X).sample(toy.keys(0, 16), (K,)))  # [K, B, D]
    log_p = toy.log_normal(X, z @ EXACT.weight + EXACT.bias, EXACT.noise)
    log_p += toy.log_normal(z, 0, 1)
    log_q = toy.log_normal(
        z, EXACT.loc(X) + 0.5 * EXACT.scale(), 1.3 * EXACT.scale()
    )  # [K, B]
    np.testing.assert_allclose(loss, (log_q - log_p).mean(axis=0), rtol=1e-4)


def test_the_loss_of_an_example_depends_on_no_other():
    params = EXACT.params(0.5)
    loss, metrics = elbo().loss(toy.keys(0, 16), MODEL, params, X)
    rows = jnp.array([5, 2])
    fewer, own = elbo().loss(toy.keys(0, 16)[rows], MODEL, params, X[rows])
    np.testing.assert_allclose(loss[rows], fewer, rtol=1e-6)
    np.testing.assert_allclose(metrics["rate"][rows], own["rate"], rtol=1e-6)


@pytest.mark.parametrize("beta", [-1, -0.1, float("nan")])
def test_a_python_beta_below_0_is_an_error(beta):
    with pytest.raises(ValueError, match=r"beta.*at least 0.*got"):
        elbo(beta=beta)


def test_fewer_than_one_particle_is_an_error():
    with pytest.raises(ValueError, match=r"num_particles.*got 0"):
        elbo(num_particles=0)


def test_a_traced_beta_is_not_looked_at():
    jax.eval_shape(lambda beta: (elbo(beta=beta), beta)[1], jnp.float32(1))
