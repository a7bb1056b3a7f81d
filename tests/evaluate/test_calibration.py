import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import vaejax
from tests import toy
from vaejax.evaluate import simulation_based_calibration

EXACT = toy.linear_gaussian()
MODEL = EXACT.model()


@functools.cache
def calibration(shift=0.0, stretch=1.0, seed=0):
    return simulation_based_calibration(
        jax.random.key(seed), MODEL, EXACT.params(shift, stretch)
    )


def test_the_true_posterior_is_accepted():
    result = calibration()
    assert result.histogram.shape == (2, 16)
    assert (result.histogram.sum(axis=-1) == 1000).all()
    assert (result.p_value > toy.FALSE_ALARM / 2).all()


def test_p_values_of_true_posteriors_are_uniform():
    """64 calibrations, Kolmogorov and Smirnov's distance to uniform by scipy."""
    params = EXACT.params()

    @jax.jit
    def p_values(key):
        return simulation_based_calibration(key, MODEL, params, 320, 15).p_value

    p = np.concatenate([p_values(jax.random.key(i)) for i in range(64)])
    assert scipy.stats.kstest(p, "uniform").pvalue > toy.FALSE_ALARM


@pytest.mark.parametrize(("shift", "stretch"), [(0.0, 0.8), (0.3, 1.0)], ids=str)
def test_a_posterior_too_narrow_or_shifted_is_rejected(shift, stretch):
    assert (calibration(shift, stretch).p_value < toy.FALSE_ALARM).all()


@pytest.mark.parametrize(
    ("shift", "stretch"), [(0.3, 1.0), (0.0, 0.8), (0.0, 1.25)], ids=str
)
def test_the_histogram_of_a_wrong_posterior_is_what_theory_says(shift, stretch):
    """A draw is below the truth t with probability Phi((t - shift) / stretch)."""
    t = np.linspace(-8, 8, 4001)
    below = scipy.stats.norm.cdf((t - shift) / stretch)
    law = scipy.stats.norm.pdf(t)[:, None] * scipy.stats.binom.pmf(
        np.arange(128), 127, below[:, None]
    )
    expected = law.sum(axis=0).reshape(16, 8).sum(axis=1)
    histogram = np.asarray(calibration(shift, stretch).histogram)
    for row in histogram:
        p = scipy.stats.chisquare(row, 1000 * expected / expected.sum()).pvalue
        assert p > toy.FALSE_ALARM / 2


def test_the_statistic_and_its_p_value_are_scipys():
    for result in (calibration(), calibration(0.3)):
        expected = scipy.stats.chisquare(result.histogram, axis=1)
        np.testing.assert_allclose(result.chi_square, expected.statistic, rtol=1e-5)
        np.testing.assert_allclose(
            np.log(result.p_value), np.log(expected.pvalue), rtol=1e-3, atol=1e-4
        )


def test_a_rank_counts_the_draws_below_the_truth():
    """The true code is 0.5 and the draws 0 and 1 in turn: half of 15 are below."""

    class Turns(vaejax.Distribution):
        def sample(self, key, sample_shape=()):
            return (jnp.arange(15) % 2.0)[:, None, None]

    class Half(vaejax.Distribution):
        def sample(self, key, sample_shape=()):
            return jnp.full((*sample_shape, 1), 0.5)

    model = vaejax.Model(
        None, lambda params, x: Turns(), lambda params, z: Half(), lambda params: Half()
    )
    result = simulation_based_calibration(jax.random.key(0), model, {}, 80, 15)
    assert result.histogram.tolist() == [[0] * 8 + [80] + [0] * 7]


def test_the_batches_change_nothing():
    one, other = (
        simulation_based_calibration(
            jax.random.key(1), MODEL, EXACT.params(), 100, 31, 8, simulations=size
        )
        for size in (7, 1000)
    )
    # A draw that rounding puts on the other side of the truth may change its bin.
    assert np.abs(one.histogram - other.histogram).sum() <= 2


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"num_draws": 100}, "do not fill 16 equal bins.*such as 127"),
        ({"num_simulations": 79}, "at least 80, got 79"),
        ({"num_bins": 1}, "num_bins at least 2"),
        ({"simulations": 0}, "at least 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_counts_out_of_range_are_errors_that_say_what_to_choose(counts, message):
    with pytest.raises(ValueError, match=message):
        simulation_based_calibration(jax.random.key(0), MODEL, EXACT.params(), **counts)


def test_a_hierarchy_is_an_error():
    class Two(vaejax.Distribution):
        def sample(self, key, sample_shape=()):
            return jnp.zeros((1, 2)), jnp.zeros((1, 2))

    model = MODEL._replace(prior=lambda params: Two())
    with pytest.raises(TypeError, match="hierarchy"):
        simulation_based_calibration(jax.random.key(0), model, EXACT.params())
