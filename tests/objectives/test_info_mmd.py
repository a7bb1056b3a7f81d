import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import toy, toy_codes
from vaejax.base import split
from vaejax.objectives import elbo, info_mmd

DIM, MODEL = 3, toy_codes.given(3)
X = toy_codes.posteriors(16, DIM)


@jax.jit
def elbo_and_info(alpha, scaling):
    """The ELBO with the key that InfoVAE keeps for z, and InfoVAE."""
    x = jnp.asarray(X)
    z_key, _ = split(toy.keys(0, 16))
    objective = info_mmd(alpha=alpha, scaling=scaling)
    return [
        elbo().loss(z_key, MODEL, {}, x),
        objective.loss(toy.keys(0, 16), MODEL, {}, x),
    ]


def test_alpha_0_and_scaling_1_is_the_elbo():
    (bound, _), (loss, metrics) = elbo_and_info(0.0, 1.0)
    np.testing.assert_allclose(loss, bound, rtol=1e-6)
    assert metrics["mmd"][0] != 0


def test_alpha_takes_from_the_rate_and_gives_to_the_discrepancy():
    (_, terms), (loss, metrics) = elbo_and_info(0.3, 20.0)
    for name in ("distortion", "rate"):
        np.testing.assert_allclose(metrics[name], terms[name], rtol=1e-5)
    expected = terms["distortion"] + 0.7 * terms["rate"] + 19.3 * metrics["mmd"]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize(("alpha", "scaling"), [(1.1, 5.0), (-1.0, 1.5), (0.0, 0.9)])
def test_weights_below_0_are_errors(alpha, scaling):
    with pytest.raises(ValueError, match=rf"alpha {alpha} and scaling {scaling}"):
        info_mmd(alpha=alpha, scaling=scaling)
