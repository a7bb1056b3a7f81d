import jax
import numpy as np
import pytest

import vaejax
from tests import toy
from vaejax import likelihoods, posteriors, priors
from vaejax.evaluate import active_units, rate_per_dimension
from vaejax.objectives import elbo

EXACT = toy.linear_gaussian()
MODEL, PARAMS, X = EXACT.model(), EXACT.params(0.4, 1.3), EXACT.draw(501)


def other(posterior, prior):
    """A model of other parts, with parameters."""
    model = vaejax.latent_variable_model(
        posterior, prior, likelihoods.normal(toy.identity(), (4,))
    )
    return model, model.init(jax.random.key(0), X)


def test_active_units_are_the_variances_of_the_means_whatever_the_batches():
    loc = EXACT.loc(X)
    for images in (7, 64, 1000):
        units = active_units(MODEL, PARAMS, X, images=images)
        np.testing.assert_allclose(units.variance, loc.var(axis=0), rtol=1e-5)
    fourth = ((loc - loc.mean(axis=0)) ** 4).mean(axis=0)
    error = np.sqrt((fourth - loc.var(axis=0) ** 2) / len(loc))
    np.testing.assert_allclose(units.standard_error, error, rtol=1e-4)


def test_a_dimension_is_active_where_its_variance_exceeds_the_threshold():
    variance = np.sort(active_units(MODEL, PARAMS, X).variance)
    for threshold, count in [(0.01, 2), (variance.mean(), 1), (2 * variance[1], 0)]:
        assert active_units(MODEL, PARAMS, X, threshold).num_active == count


def test_the_variances_of_a_true_posterior_are_what_the_noise_leaves():
    """Var(E[z|x]) = Var(z) - E[Var(z|x)] = 1 - scale^2, for data of the model."""
    units = active_units(MODEL, PARAMS, EXACT.draw(4000, seed=1))
    gap = np.abs(units.variance - (1 - EXACT.scale() ** 2))
    assert (gap < 5.2 * units.standard_error).all()


def test_a_rate_is_that_of_its_dimension_and_all_are_the_rate_of_the_elbo():
    rates = rate_per_dimension(MODEL, PARAMS, X, images=64)
    scale = 1.3 * EXACT.scale()
    loc = EXACT.loc(X) + 0.4 * EXACT.scale()
    each = 0.5 * (scale**2 + loc**2 - 1) - np.log(scale)
    np.testing.assert_allclose(rates.mean, each.mean(axis=0), rtol=1e-4)
    error = each.std(axis=0, ddof=1) / np.sqrt(len(each))
    np.testing.assert_allclose(rates.standard_error, error, rtol=1e-4)
    _, metrics = elbo().loss(toy.keys(0, len(X)), MODEL, PARAMS, X)
    np.testing.assert_allclose(rates.mean.sum(), metrics["rate"].mean(), rtol=1e-5)


@pytest.mark.parametrize(
    ("posterior", "prior", "name"),
    [
        (posteriors.full_normal, priors.standard_normal, "FullNormal"),
        (posteriors.diagonal_normal, priors.mixture, "Mixture"),
    ],
    ids=["posterior", "prior"],
)
def test_dimensions_that_depend_on_one_another_have_no_rates_of_their_own(
    posterior, prior, name
):
    model, params = other(posterior(toy.identity(), 2), prior(2))
    with pytest.raises(TypeError, match=f"{name} is no product.*use a diagonal"):
        rate_per_dimension(model, params, X)


def test_a_pair_without_a_closed_form_is_an_error():
    model, params = other(
        posteriors.point_mass(toy.identity(), 2), priors.standard_normal(2)
    )
    with pytest.raises(TypeError, match="PointMass"):
        rate_per_dimension(model, params, X)


def test_a_hierarchy_has_no_active_units():
    class Two(vaejax.Distribution):
        def mean(self):
            return X[:1], X[:1]

    model = MODEL._replace(encode=lambda params, x: Two())
    with pytest.raises(TypeError, match="2 layers"):
        active_units(model, PARAMS, X)


@pytest.mark.parametrize("measure", [active_units, rate_per_dimension])
def test_one_example_or_no_memory_is_an_error(measure):
    with pytest.raises(ValueError, match="at least 2 examples, got 1"):
        measure(MODEL, PARAMS, X[:1])
    with pytest.raises(ValueError, match="images must be at least 1, got 0"):
        measure(MODEL, PARAMS, X, images=0)
