import jax
import jax.numpy as jnp
import numpy as np

from tests import toy
from vaejax import posteriors
from vaejax.distributions import Normal, PointMass


def made(factory, bias):
    """The distribution of 5 examples of an affine encoder with these biases."""
    family = factory(toy.identity(), 2)
    x = jax.random.normal(jax.random.key(1), (5, 3))
    params = family.init(jax.random.key(0), x)
    head = params["head"] | {"bias": jnp.asarray(bias, float)}
    features = np.asarray(x) @ np.asarray(head["kernel"]) + np.asarray(bias)
    return family.make(params | {"head": head}, x), features


def test_near_0_the_second_half_of_the_head_is_the_log_variance():
    q, features = made(posteriors.diagonal_normal, [0.3, -1.0, 0.2, -0.4])
    assert isinstance(q, Normal)
    np.testing.assert_allclose(q.loc, features[:, :2], rtol=1e-4, atol=1e-6)
    expected = np.exp(7 * np.tanh(features[:, 2:] / 14))
    np.testing.assert_allclose(q.scale, expected, rtol=1e-4)
    small = np.abs(features[:, 2:]) < 1
    np.testing.assert_allclose(
        2 * np.log(q.scale)[small], features[:, 2:][small], atol=2e-3
    )


def test_the_scale_is_bounded_however_sure_the_encoder_is():
    q, _ = made(posteriors.diagonal_normal, [0, 0, -1e6, 1e6])
    low, high = np.exp(-7) * np.ones(5), np.exp(7) * np.ones(5)
    np.testing.assert_allclose(q.scale, np.stack([low, high], axis=-1), rtol=1e-5)
    assert np.isfinite(q.log_prob(q.loc + 1)).all()


def test_a_point_mass_is_the_affine_map_itself():
    q, features = made(posteriors.point_mass, [0.3, -1.0])
    assert isinstance(q, PointMass)
    np.testing.assert_allclose(q.loc, features, rtol=1e-4, atol=1e-6)
