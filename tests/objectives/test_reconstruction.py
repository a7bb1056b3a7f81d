import jax
import numpy as np

import vaejax
from tests import toy
from vaejax import likelihoods, posteriors, priors
from vaejax.objectives import reconstruction


def test_of_an_auto_encoder_it_is_half_the_squared_error_and_a_constant():
    x = jax.random.normal(jax.random.key(0), (5, 3))
    model = vaejax.latent_variable_model(
        posteriors.point_mass(toy.identity(), 2),
        priors.standard_normal(2),
        likelihoods.normal(toy.identity(), (3,)),
    )
    params = model.init(jax.random.key(1), x)
    loss, metrics = reconstruction().loss(toy.keys(0, 5), model, params, x)
    loc = model.decode(params, model.encode(params, x).mean()).mean()
    squared = ((np.asarray(x) - np.asarray(loc)) ** 2).sum(axis=-1)
    np.testing.assert_allclose(loss, squared / 2 + 1.5 * np.log(2 * np.pi), rtol=1e-5)
    np.testing.assert_array_equal(loss, metrics["distortion"])


def test_of_a_vae_it_is_the_distortion_of_one_draw():
    exact = toy.linear_gaussian()
    model, x, params = exact.model(), exact.draw(5), exact.params(0.3)
    loss, _ = reconstruction().loss(toy.keys(0, 5), model, params, x)
    z = np.asarray(model.encode(params, x).sample(toy.keys(0, 5)))
    expected = -toy.log_normal(x, z @ exact.weight + exact.bias, exact.noise)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
