import jax.numpy as jnp
import numpy as np

from vaejax.distributions import Categorical


def test_what_is_no_such_number_is_nan_and_rounding_is_to_the_nearest():
    """-1, a common padding token, is not the last of K."""
    p = Categorical(jnp.log(jnp.array([0.1, 0.2, 0.3, 0.4])), event_ndims=0)
    got = p.log_prob(jnp.array([-1.0, 0.0, 0.9999, 3.0, 4.0]))
    np.testing.assert_allclose(np.exp(got), [np.nan, 0.1, 0.2, 0.4, np.nan], rtol=1e-6)
