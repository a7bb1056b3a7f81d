import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from scipy.special import logsumexp

from tests import toy, toy_codes
from vaejax.distributions import FullNormal, Normal
from vaejax.objectives import beta_tc, elbo
from vaejax.objectives.beta_tc import stratified
from vaejax.rates import sampled

DIM, MODEL = 3, toy_codes.given(3)
X = toy_codes.posteriors(16, DIM)


def log_densities(z, x):
    """Unsummed log q(z_d | x_n), by scipy: `[num z, num x, D]`."""
    dim = x.shape[1] // 2
    x = np.asarray(x, np.float64)
    return scipy.stats.norm(x[:, :dim], x[:, dim:]).logpdf(z[:, None])


def test_equal_weights_are_the_elbo_in_every_draw():
    @jax.jit
    def losses(beta):
        weights = {"alpha": beta, "beta": beta, "gamma": beta, "num_examples": 100}
        return [
            objective.loss(toy.keys(0, 16), MODEL, {}, jnp.asarray(X))
            for objective in (
                elbo(beta=beta, rate=sampled),
                beta_tc(**weights),
                beta_tc(**weights, estimator="stratified"),
            )
        ]

    for beta in (1.0, 2.5):
        (bound, terms), *ours = losses(beta)
        for loss, metrics in ours:
            np.testing.assert_allclose(loss, bound, rtol=2e-5)
            for name in ("rate", "distortion"):
                np.testing.assert_allclose(metrics[name], terms[name], rtol=1e-5)


@functools.cache
def metrics_of_both(num_examples):
    """The loss and the metrics of both estimators, in one program."""

    @jax.jit
    def both(x):
        return [
            beta_tc(
                alpha=0.5, beta=3.0, gamma=2.0, num_examples=num_examples, estimator=own
            ).loss(toy.keys(0, 16), MODEL, {}, x)
            for own in ("weighted", "stratified")
        ]

    return both(X)


@pytest.mark.parametrize("num", [16, 50])
def test_every_part_is_its_formula(num):
    z = toy_codes.draws(X, toy.keys(0, 16))
    terms = log_densities(z, X)
    log_q = np.diagonal(terms.sum(axis=-1))
    log_p = scipy.stats.norm.logpdf(z).sum(axis=-1)
    weighted = np.full((16, 16), 1 / (num * 16))
    # An example stands for itself, the 15 others for all others of the data set.
    stratified = np.where(np.eye(16) > 0, 1 / num, (num - 1) / num / 15)
    for (loss, metrics), weights in zip(
        metrics_of_both(num), (weighted, stratified), strict=True
    ):
        joint = np.log((weights * np.exp(terms.sum(axis=-1))).sum(axis=1))
        product = np.log((weights[..., None] * np.exp(terms)).sum(axis=1)).sum(axis=-1)
        parts = {
            "mutual_information": log_q - joint,
            "total_correlation": joint - product,
            "dimension_rate": product - log_p,
        }
        for name, part in parts.items():
            np.testing.assert_allclose(metrics[name], part, rtol=1e-4, atol=1e-4)
        total = sum(
            weight * part
            for weight, part in zip((0.5, 3, 2), parts.values(), strict=True)
        )
        np.testing.assert_allclose(
            loss, metrics["distortion"] + total, rtol=1e-4, atol=1e-4
        )


def test_the_stratified_density_averages_exactly_to_that_of_the_data_set():
    num, size, me = 6, 3, 2
    x, keys = toy_codes.posteriors(num, DIM), toy.keys(1, num)
    others = [i for i in range(num) if i != me]
    batches = np.array([(me, *rest) for rest in itertools.combinations(others, 2)])
    objective = beta_tc(num_examples=num, estimator="stratified")

    @jax.jit
    @jax.vmap
    def parts(rows):
        keys_of = jax.random.wrap_key_data(jax.random.key_data(keys)[rows])
        return objective.loss(keys_of, MODEL, {}, jnp.asarray(x)[rows])[1]

    metrics = {name: np.asarray(part)[:, 0] for name, part in parts(batches).items()}
    assert len(batches) == math.comb(num - 1, size - 1)
    z = toy_codes.draws(x, keys)[me : me + 1]
    terms = log_densities(z, x)[0]  # [N, D]
    estimates = np.exp(terms[me].sum() - metrics["mutual_information"])  # of q(z)
    exact = np.exp(terms.sum(axis=1)).mean()
    assert estimates.std() > 0.05 * exact
    np.testing.assert_allclose(estimates.mean(), exact, rtol=1e-5)


def test_the_papers_weights_in_every_order_of_the_batch_have_ours_as_their_mean():
    num, size = 20, 5
    others = size - 1
    orders = []
    for last in range(others):  # which of the others is n_M of the paper
        rest = np.full(others, 1 / others)
        rest[last] = (num - others) / (num * others)
        orders.append([1 / num, *rest])
    ours = stratified(jnp.arange(size) == jnp.zeros((1, 1)), num)
    np.testing.assert_allclose(ours[0], np.mean(orders, axis=0), rtol=1e-6)


def test_a_batch_that_is_the_data_set_has_its_exact_densities():
    """The other estimator is off by the constants of the docstring."""
    terms = log_densities(toy_codes.draws(X, toy.keys(0, 16)), X)
    joint = logsumexp(terms.sum(axis=-1), axis=1) - math.log(16)
    product = (logsumexp(terms, axis=1) - math.log(16)).sum(axis=-1)
    (_, shifted), (_, exact) = metrics_of_both(16)
    close = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(exact["total_correlation"], joint - product, **close)
    for name, logs in (
        ("mutual_information", 1),
        ("total_correlation", DIM - 1),
        ("dimension_rate", -DIM),
    ):
        expected = exact[name] + logs * math.log(16)
        np.testing.assert_allclose(shifted[name], expected, **close)


def test_the_size_of_the_data_set_leaves_the_weighted_gradient_alone():
    @jax.jit
    def gradients(x):
        def mean(x, num_examples):
            objective = beta_tc(num_examples=num_examples)
            return objective.loss(toy.keys(0, 16), MODEL, {}, x)[0].mean()

        return [jax.grad(mean)(x, num_examples) for num_examples in (16, 60_000)]

    small, large = gradients(X)
    np.testing.assert_allclose(small, large, rtol=1e-4, atol=1e-6)


def test_the_total_correlation_of_a_normal_is_the_log_determinant_of_its_correlation():
    """The closed form, -1/2 log det R, of codes that are normal all together."""
    num, scale = 512, 0.5
    cov = np.array([[1.0, 0.7, 0.1], [0.7, 1.5, -0.4], [0.1, -0.4, 0.8]])
    within = scale**2 * np.eye(3)
    points = scipy.stats.qmc.Sobol(3, seed=0).random(num)
    loc = scipy.stats.norm.ppf(points) @ np.linalg.cholesky(cov - within).T
    x = jnp.concatenate([loc, np.full((num, 3), scale)], axis=1).astype(jnp.float32)
    size = np.sqrt(np.diag(cov))
    exact = -0.5 * np.linalg.slogdet(cov / np.outer(size, size))[1]
    objective = beta_tc(num_examples=num, estimator="stratified")

    @jax.jit
    def means(keys):
        def one(key):
            metrics = objective.loss(jax.random.split(key, num), MODEL, {}, x)[1]
            return metrics["total_correlation"].mean()

        return jax.lax.map(one, keys)

    assert exact > 0.3
    toy.same_mean(means(toy.keys(2, 16)), exact)


def table():
    """The rows of numbers in the docstring: name to a bias for every size of batch."""
    lines = [line.split("  ") for line in beta_tc.__doc__.splitlines()]
    rows = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    rows = {row[0]: row[1:] for row in rows if len(row) == 6}
    sizes = [int(size) for size in rows.pop("M")]
    return {
        name: dict(zip(sizes, map(float, row), strict=True))
        for name, row in rows.items()
        if not name.startswith("=")
    }


@pytest.mark.parametrize("size", [4, pytest.param(16, marks=pytest.mark.slow)])
def test_the_bias_of_both_estimators_is_that_of_the_docstring(size):
    num, repeats = 64, {4: 4000, 16: 1000}[size]
    rng = np.random.default_rng(0)
    mix = np.array([[1, 0, 0], [0.8, 0.6, 0], [-0.3, 0.5, 0.8]])
    loc = rng.normal(size=(num, DIM)) @ mix.T
    scale = np.exp(rng.normal(size=(num, DIM)) * 0.3 - 1.2)
    x = jnp.asarray(np.concatenate([loc, scale], axis=1), jnp.float32)
    everyone = Normal(x[:, :DIM], x[:, DIM:], 0)

    @jax.jit
    @jax.vmap
    def biases(key):
        row_key, key = jax.random.split(key)
        rows = jax.random.permutation(row_key, num)[:size]
        keys = jax.random.split(key, size)
        z = MODEL.encode({}, x[rows]).sample(jax.random.clone(keys))
        terms = everyone.log_prob(z[:, None])  # [M, N, D]
        log_q = MODEL.encode({}, x[rows]).log_prob(z)
        joint = jax.nn.logsumexp(terms.sum(axis=-1), axis=1) - math.log(num)
        product = jax.nn.logsumexp(terms, axis=1).sum(axis=-1) - DIM * math.log(num)
        found = {}
        for name in ("weighted", "stratified"):
            objective = beta_tc(num_examples=num, estimator=name)
            own = objective.loss(jax.random.clone(keys), MODEL, {}, x[rows])[1]
            density = (log_q - own["mutual_information"] - joint).mean()
            total = (own["total_correlation"] - (joint - product)).mean()
            found[name] = jnp.stack([density, total])
        return found

    found = biases(toy.keys(3, repeats))
    shift = math.log(num) * np.array([1, -(DIM - 1)])
    expected = table()
    for name, values in (
        ("stratified, log q(z)", found["stratified"][:, 0]),
        ("stratified, TC", found["stratified"][:, 1]),
        ("weighted, log q(z) + log N", found["weighted"][:, 0] + shift[0]),
        ("weighted, TC - (D - 1) log N", found["weighted"][:, 1] + shift[1]),
    ):
        values = np.asarray(values, np.float64)
        error = values.std(ddof=1) / math.sqrt(repeats)
        limit = 0.006 + scipy.stats.norm.isf(toy.FALSE_ALARM / 8) * error
        print(f"{name}: {values.mean():.3f}, smallest error caught {limit:.3f}")
        assert abs(values.mean() - expected[name][size]) < limit


def test_a_posterior_whose_dimensions_are_not_apart_is_an_error():
    def encode(params, x):
        return FullNormal(x[:, :DIM], jnp.broadcast_to(jnp.eye(DIM), (16, DIM, DIM)))

    objective, model = beta_tc(num_examples=16), MODEL._replace(encode=encode)
    with pytest.raises(TypeError, match=r"FullNormal.*diagonal"):
        jax.eval_shape(lambda x: objective.loss(toy.keys(0, 16), model, {}, x), X)


def test_wrong_arguments_are_errors():
    with pytest.raises(ValueError, match=r"beta must be at least 0.*-1"):
        beta_tc(beta=-1, num_examples=8)
    with pytest.raises(ValueError, match=r"num_examples.*got 0"):
        beta_tc(num_examples=0)
    with pytest.raises(ValueError, match=r"weighted or stratified, got 'mss'"):
        beta_tc(num_examples=8, estimator="mss")
    with pytest.raises(ValueError, match=r"num_examples.*at least the batch of 16.*15"):
        metrics_of_both(15)
