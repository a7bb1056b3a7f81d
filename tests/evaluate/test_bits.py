import jax.numpy as jnp
import numpy as np
import pytest

from vaejax.distributions import Bernoulli, Normal
from vaejax.evaluate import bits_per_dimension


def test_a_fair_coin_takes_one_bit():
    log_p = Bernoulli(jnp.zeros((3, 4, 5)), event_ndims=2).log_prob(jnp.ones((3, 4, 5)))
    np.testing.assert_allclose(bits_per_dimension(log_p, (4, 5)), 1, rtol=1e-6)


def test_a_density_of_scaled_bytes_is_that_of_the_bytes():
    """N(0.5, s) of x / 256 is N(128, 256 s) of x."""
    x = jnp.array([[3.0, 100.0, 250.0]])
    scaled = Normal(jnp.full((1, 3), 0.5), jnp.full((1, 3), 0.3)).log_prob(x / 256)
    own = Normal(jnp.full((1, 3), 128.0), jnp.full((1, 3), 0.3 * 256)).log_prob(x)
    np.testing.assert_allclose(
        bits_per_dimension(scaled, (3,), num_levels=256),
        bits_per_dimension(own, (3,)),
        rtol=1e-5,
    )


@pytest.mark.parametrize("wrong", [{"event_shape": (0,)}, {"num_levels": 0}])
def test_a_count_below_1_is_an_error(wrong):
    with pytest.raises(ValueError, match="at least 1"):
        bits_per_dimension(jnp.zeros(3), **({"event_shape": (2,)} | wrong))
