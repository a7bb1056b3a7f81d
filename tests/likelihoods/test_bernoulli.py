import jax.numpy as jnp
import numpy as np
import scipy.special
import scipy.stats

from tests import toy
from vaejax import likelihoods


def test_logits_are_the_decoders_and_the_event_has_its_shape():
    family = likelihoods.bernoulli(toy.identity(), (2, 3))
    kernel = np.random.default_rng(0).normal(size=(4, 6))
    bias = np.linspace(-1, 1, 6)
    params = {"network": {}, "head": {"kernel": kernel, "bias": bias}}
    z = jnp.asarray(np.random.default_rng(1).normal(size=(7, 5, 4)))
    p = family.make(params, z)
    logits = (np.asarray(z) @ kernel + bias).reshape(7, 5, 2, 3)
    np.testing.assert_allclose(p.mean(), scipy.special.expit(logits), rtol=1e-4)
    x = np.asarray(toy.bits(5, 6)).reshape(5, 2, 3)
    expected = scipy.stats.bernoulli(scipy.special.expit(logits)).logpmf(x)
    assert p.log_prob(x).shape == (7, 5)
    np.testing.assert_allclose(p.log_prob(x), expected.sum(axis=(-2, -1)), rtol=1e-4)
