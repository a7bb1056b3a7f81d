import functools

import jax
import numpy as np

from tests import toy
from vaejax.objectives import iwae, miwae, piwae

EXACT = toy.linear_gaussian()
MODEL, X, PARAMS = EXACT.model(), EXACT.draw(16), EXACT.params(0.7, 1.4)


def test_its_value_is_iwaes_its_gradients_are_iwaes_and_miwaes():
    @jax.jit
    def everything(params):
        def gradient(objective):
            def mean(params):
                loss, metrics = objective.loss(toy.keys(0, 16), MODEL, params, X)
                return loss.mean(), (loss, metrics)

            return jax.grad(mean, has_aux=True)(params)

        own = [
            gradient(piwae(num_particles=3, num_bounds=2, gradient=name))
            for name in ("pathwise", "dreg")
        ]
        each = [
            gradient(miwae(num_particles=3, num_bounds=2, gradient=name))
            for name in ("pathwise", "dreg")
        ]
        return own, each, gradient(iwae(num_particles=6))

    own, each, (whole, aux) = everything(PARAMS)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    for (gradient, own_aux), (expected, _) in zip(own, each, strict=True):
        jax.tree.map(close, own_aux, aux)
        jax.tree.map(close, gradient["likelihood"], whole["likelihood"])
        jax.tree.map(close, gradient["posterior"], expected["posterior"])
    # ... and those are not the same.
    kernels = [
        g["likelihood"]["decoder"]["head"]["kernel"] for g in (whole, each[0][0])
    ]
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-2
