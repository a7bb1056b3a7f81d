import jax
import numpy as np
import pytest

import vaejax
from tests import toy
from vaejax import likelihoods, networks, posteriors, priors
from vaejax.evaluate import distortion

EXACT = toy.linear_gaussian()
X = EXACT.draw(5)


def test_its_mean_is_the_closed_form_of_a_linear_gaussian_model():
    model, params, K = EXACT.model(), EXACT.params(0.4, 1.3), 4000
    loc, scale = EXACT.loc(X) + 0.4 * EXACT.scale(), 1.3 * EXACT.scale()
    mean = toy.log_normal(X, loc @ EXACT.weight + EXACT.bias, EXACT.noise)
    spread = 0.5 * (scale**2 @ EXACT.weight**2).sum() / EXACT.noise**2
    got = distortion(jax.random.key(0), model, params, X, K, images=2)
    assert got.shape == (5,)
    draws = np.asarray(model.encode(params, X).sample(jax.random.key(1), (1000,)))
    one = toy.log_normal(X, draws @ EXACT.weight + EXACT.bias, EXACT.noise)
    error = one.std(axis=0) / np.sqrt(K)
    assert (abs(got - (spread - mean)) < 5 * error).all()


def test_of_an_auto_encoder_one_particle_is_exact():
    model = vaejax.latent_variable_model(
        posteriors.point_mass(toy.identity(), 2),
        priors.standard_normal(2),
        likelihoods.normal(toy.identity(), (4,), scale=0.5),
    )
    params = model.init(jax.random.key(0), X)
    loc = model.decode(params, model.encode(params, X).mean()).mean()
    got = distortion(jax.random.key(0), model, params, X, images=2)
    np.testing.assert_allclose(got, -toy.log_normal(X, loc, 0.5), rtol=1e-5)


@pytest.mark.parametrize("counts", [{"num_particles": 0}, {"images": 0}], ids=str)
def test_a_count_below_1_is_an_error(counts):
    with pytest.raises(ValueError, match="at least 1"):
        distortion(jax.random.key(0), EXACT.model(), EXACT.params(), X, **counts)


def test_without_a_density_it_is_the_mean_of_what_stands_in_its_place():
    network = networks.mlp(hidden=(3,))
    model = vaejax.latent_variable_model(
        posteriors.point_mass(network, 2),
        priors.standard_normal(2),
        likelihoods.ms_ssim(network, (6, 6), window=3),
    )
    x = toy.bits(4, 36).reshape(4, 6, 6)
    params = model.init(jax.random.key(0), x)
    expected = model.decode(params, model.encode(params, x).mean()).distortion(x)
    got = distortion(jax.random.key(1), model, params, x)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
