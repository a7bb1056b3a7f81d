import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vaejax.distributions import PointMass

LOC = jnp.arange(6.0).reshape(2, 3)


def test_every_draw_is_the_point():
    q = PointMass(LOC)
    expected = np.broadcast_to(LOC, (5, 2, 3))
    np.testing.assert_array_equal(q.sample(jax.random.key(0), (5,)), expected)
    np.testing.assert_array_equal(q.mean(), LOC)


def test_it_has_no_density_and_says_what_to_train_it_with():
    with pytest.raises(TypeError, match="reconstruction"):
        PointMass(LOC).log_prob(LOC)
    with pytest.raises(TypeError, match="reconstruction"):
        PointMass(LOC).sample_and_log_prob(jax.random.key(0))
