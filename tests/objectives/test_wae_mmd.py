import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import toy, toy_codes
from vaejax.base import split
from vaejax.distributions import PointMass
from vaejax.mmd import mmd
from vaejax.objectives import info_mmd, reconstruction, wae_mmd

DIM, MODEL = 3, toy_codes.given(3)
X = toy_codes.posteriors(16, DIM)
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # of the authors' code


def point(params, x):
    return PointMass(x[:, :DIM])


def run(objective, model=MODEL, x=X, seed=0):
    keys = toy.keys(seed, len(x))
    return jax.jit(lambda x: objective.loss(keys, model, {}, x))(x)


def test_it_is_the_distortion_and_the_discrepancy_of_codes_and_draws():
    loss, metrics = run(wae_mmd(weight=3.0, scales=SCALES, statistic="v"))

    @jax.jit
    def parts(x):
        z_key, prior_key = split(toy.keys(0, 16))
        z = MODEL.encode({}, x).sample(z_key)
        draws = MODEL.prior({}).sample(prior_key)
        distance = mmd("inverse_multiquadratic", SCALES, "v")(z, draws)
        return distance, -MODEL.decode({}, z).log_prob(x)

    distance, distortion = parts(X)
    assert len(np.unique(metrics["mmd"])) == 1
    assert distance > 0.01
    np.testing.assert_allclose(metrics["mmd"][0], distance, rtol=1e-5)
    np.testing.assert_allclose(metrics["distortion"], distortion, rtol=1e-5)
    np.testing.assert_allclose(loss, distortion + 3 * distance, rtol=1e-5)


def test_without_weight_it_is_the_reconstruction_also_of_a_deterministic_encoder():
    model = MODEL._replace(encode=point)
    loss, _ = run(wae_mmd(weight=0.0), model)
    np.testing.assert_allclose(loss, run(reconstruction(), model)[0], rtol=1e-6)


def test_codes_that_are_draws_of_the_prior_have_discrepancy_0_on_average():
    normal = np.concatenate([np.zeros((8, DIM)), np.ones((8, DIM))], axis=1)

    @jax.jit
    @jax.vmap
    def discrepancy(key):
        keys = jax.random.split(key, 8)
        x = jnp.asarray(normal, jnp.float32)
        return wae_mmd().loss(keys, MODEL, {}, x)[1]["mmd"][0]

    toy.same_mean(discrepancy(toy.keys(1, 4000)))


def test_infovae_with_alpha_1_is_the_wasserstein_auto_encoder():
    options = {"kernel": "rbf", "scales": SCALES}
    info, terms = run(info_mmd(alpha=1.0, scaling=3.0, **options))
    wae, own = run(wae_mmd(weight=3.0, **options))
    np.testing.assert_allclose(info, wae, rtol=1e-5)
    np.testing.assert_allclose(terms["mmd"], own["mmd"], rtol=1e-5)


def test_wrong_arguments_are_errors():
    with pytest.raises(ValueError, match=r"weight.*got -1"):
        wae_mmd(weight=-1)
    with pytest.raises(ValueError, match=r"kernel.*got 'cauchy'"):
        wae_mmd(kernel="cauchy")
    with pytest.raises(ValueError, match=r"scales.*got \(\)"):
        wae_mmd(scales=())
    with pytest.raises(ValueError, match=r"2 examples"):
        run(wae_mmd(), x=X[:1])
