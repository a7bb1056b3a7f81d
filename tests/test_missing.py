import jax
import jax.numpy as jnp
import numpy as np

import vaejax
from tests import toy, toy_missing
from vaejax.missing import mask_blind, observed

EXACT = toy.linear_gaussian()
X = EXACT.draw(8)
MASK = jnp.arange(32).reshape(8, 4) % 3 > 0


def test_the_encoder_sees_the_filled_in_value_and_the_mask():
    model, fill = toy.small_vae(dim=4), jnp.array([0.1, 0.2, 0.3, 0.4])
    pair = jnp.where(MASK, X, jnp.nan), MASK
    params = observed(model, fill).init(jax.random.key(0), pair)
    assert params["posterior"]["network"]["params"]["dense_0"]["kernel"].shape == (8, 5)
    got = observed(model, fill).encode(params, pair)
    expected = model.encode(params, (jnp.where(MASK, X, fill), MASK))
    np.testing.assert_array_equal(got.loc, expected.loc)
    assert np.isfinite(got.loc).all()


def test_the_encoder_of_the_paper_sees_no_mask():
    model = mask_blind(EXACT.model())
    pair = jnp.where(MASK, X, jnp.nan), MASK
    params = model.init(jax.random.key(0), pair)
    assert params["posterior"]["head"]["kernel"].shape == (4, 4)
    got = observed(model).encode(params, pair)
    expected = EXACT.model().encode(params, jnp.where(MASK, X, 0))
    np.testing.assert_array_equal(got.loc, expected.loc)


def test_its_likelihood_is_the_exact_marginal_of_what_was_observed():
    """By scipy, within 5 standard errors of the estimate."""
    model = observed(mask_blind(EXACT.model()))
    pair = jnp.where(MASK, X, jnp.nan), MASK
    estimate, terms = vaejax.evaluate.log_likelihood(
        jax.random.key(0), model, EXACT.params(stretch=2.0), pair, 5000
    )
    rows = zip(X, MASK, strict=True)
    gap = np.asarray(estimate) - [toy_missing.hidden(EXACT, *r).log_prob for r in rows]
    error = np.asarray(terms["monte_carlo_error"])
    assert (abs(gap) < 5 * error).all()
    assert error.max() < 0.1
