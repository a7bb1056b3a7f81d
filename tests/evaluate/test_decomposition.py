import functools

import jax
import numpy as np
import pytest
import scipy.special
import scipy.stats

import vaejax
from tests import toy
from vaejax import likelihoods, posteriors, priors
from vaejax.batch import example_keys
from vaejax.evaluate import elbo_decomposition
from vaejax.objectives import elbo
from vaejax.rates import sampled

EXACT = toy.linear_gaussian()
MODEL, PARAMS, X = EXACT.model(), EXACT.params(0.4, 1.3), EXACT.draw(13)
FLOW = functools.partial(posteriors.flow, num_flows=1, context_dim=2)
LOC, SCALE = EXACT.loc(X) + 0.4 * EXACT.scale(), 1.3 * EXACT.scale()


@functools.cache
def reference(num_particles=1):
    return elbo_decomposition(
        jax.random.key(0), MODEL, PARAMS, X, num_particles, images=13, chunk=13
    )


def close(got, expected, rtol=1e-5, atol=1e-5):
    for name in expected:
        np.testing.assert_allclose(got[name], expected[name], rtol, atol, err_msg=name)


def test_the_parts_add_up_to_the_loss_of_the_elbo_in_every_draw():
    parts = reference().per_image
    keys = example_keys(jax.random.key(0), len(X))
    loss, metrics = elbo(rate=sampled).loss(keys, MODEL, PARAMS, X)
    total = parts["distortion"] + parts["mutual_information"] + parts["marginal_kl"]
    np.testing.assert_allclose(total, loss, rtol=1e-5)
    np.testing.assert_allclose(-parts["elbo"], loss, rtol=1e-5)
    close(parts, metrics)
    rate = parts["mutual_information"] + parts["marginal_kl"]
    np.testing.assert_allclose(parts["rate"], rate, rtol=1e-5, atol=1e-5)


def test_each_part_is_its_definition_by_scipy_over_the_same_draws():
    keys = example_keys(jax.random.key(0), len(X))
    z = np.asarray(MODEL.encode(PARAMS, X).sample(keys, (16,)), np.float64)
    log_q = scipy.stats.norm(LOC, SCALE).logpdf(z[:, :, None]).sum(axis=-1)
    own = np.diagonal(log_q, axis1=1, axis2=2)
    marginal = scipy.special.logsumexp(log_q, axis=-1) - np.log(len(X))
    terms = {
        "mutual_information": own - marginal,
        "marginal_kl": marginal - toy.log_normal(z, 0, 1),
        "distortion": -toy.log_normal(X, z @ EXACT.weight + EXACT.bias, EXACT.noise),
    }
    got = reference(16)
    close(got.per_image, {n: term.mean(axis=0) for n, term in terms.items()}, 1e-4)
    close(got.mean, {n: term.mean() for n, term in terms.items()}, 1e-4)
    error = {
        n: np.sqrt((term.var(axis=0, ddof=1) / 16).sum()) / 13
        for n, term in terms.items()
    }
    close(got.standard_error, error, 1e-3)


@pytest.mark.parametrize(("images", "chunk"), [(2, 5), (64, 1), (5, 1000)], ids=str)
def test_the_chunks_change_nothing(images, chunk):
    got = elbo_decomposition(
        jax.random.key(0), MODEL, PARAMS, X, 16, images=images, chunk=chunk
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        got,
        reference(16),
    )


def test_one_image_alone_carries_no_information():
    got = elbo_decomposition(jax.random.key(0), MODEL, PARAMS, X[:1])
    assert got.mean["mutual_information"] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(got.mean["marginal_kl"], got.mean["rate"], rtol=1e-5)


def test_images_whose_codes_never_meet_carry_log_n():
    far = X[0] + 1000 * np.arange(13)[:, None] * EXACT.weight[0]
    got = elbo_decomposition(jax.random.key(0), MODEL, PARAMS, far)
    np.testing.assert_allclose(got.per_image["mutual_information"], np.log(13), 1e-2)


def test_the_reported_errors_are_the_spread_over_many_keys():
    @jax.jit
    @jax.vmap
    def repeat(key):
        got = elbo_decomposition(key, MODEL, PARAMS, X, 8)
        return got.mean, got.standard_error

    mean, error = repeat(toy.keys(3, 1000))
    for name in mean:
        ratio = mean[name].std() / np.sqrt((error[name] ** 2).mean())
        assert ratio == pytest.approx(1, abs=0.12), name  # known to 1 / sqrt(2000)
    assert np.isnan(reference().standard_error["rate"])  # unknown, not 0


@pytest.mark.parametrize("posterior", [posteriors.full_normal, FLOW])
def test_posteriors_of_any_density_add_up_whatever_they_share(posterior):
    model = vaejax.latent_variable_model(
        posterior(toy.identity(), 2),
        priors.mixture(2),
        likelihoods.normal(toy.identity(), (4,)),
    )
    params = jax.jit(model.init)(jax.random.key(0), X)
    got = elbo_decomposition(jax.random.key(1), model, params, X, 1, chunk=5).per_image
    loss, _ = elbo(rate=sampled).loss(
        example_keys(jax.random.key(1), len(X)), model, params, X
    )
    total = got["distortion"] + got["mutual_information"] + got["marginal_kl"]
    np.testing.assert_allclose(total, loss, rtol=1e-4)
    assert (got["mutual_information"] <= np.log(13) + 1e-4).all()


def test_a_hierarchy_and_a_count_below_1_are_errors():
    class Two(vaejax.Distribution):
        def sample(self, key, sample_shape=()):
            return X[:1], X[:1]

    model = MODEL._replace(encode=lambda params, x: Two())
    with pytest.raises(TypeError, match=r"one array.*log_likelihood"):
        elbo_decomposition(jax.random.key(0), model, PARAMS, X)
    with pytest.raises(ValueError, match="at least 1, got 16, 64 and 0"):
        elbo_decomposition(jax.random.key(0), MODEL, PARAMS, X, chunk=0)
