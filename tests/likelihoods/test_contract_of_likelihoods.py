"""What every likelihood keeps: a new one costs a row here, and one in `tests/rows.py`.

The decoder is the identity, so that a row's outputs are its parameters' raw values.
"""

import functools
import inspect
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from tests import toy
from vaejax import likelihoods

NUM = 5  # distributions in a batch
FLOAT32 = 1e-5  # how far from 1 the masses may sum in float32, as the docstrings say
EXTREME = 1e4  # of the decoder's outputs, as the docstrings say
stats = scipy.stats


def softplus(r):
    return np.logaddexp(0, r)


def nbinom(r, theta=1.0):
    mu = 1e-6 + softplus(r)
    return stats.nbinom(theta, theta / (theta + mu))


def zero_inflated(r):
    kept, drop = nbinom(r[..., 0]), scipy.special.expit(r[..., 1])

    def logpmf(x):
        return np.log(drop * (x == 0) + (1 - drop) * kept.pmf(x))

    return SimpleNamespace(logpmf=logpmf, isf=kept.isf)


def rounded_logistic(num_levels, num_components=1):
    """The masses as differences of scipy's distribution function, mixed."""

    def frozen(r):
        if num_components == 1:
            weights, loc, scale = np.ones(1), 0.5 + r[..., :1], r[..., 1:]
        else:
            logits, loc, scale = np.split(r, 3, axis=-1)
            weights = scipy.special.softmax(logits, axis=-1)
            loc = (np.arange(num_components) + 0.5) / num_components + loc
        scale = 0.1 / (num_levels - 1) + softplus(scale - 2)
        law = stats.logistic(loc, scale)

        def logpmf(x):
            half = 0.5 / (num_levels - 1)
            x = x[..., None]
            high = np.where(x > 1 - half, 1, law.cdf(x + half))
            low = np.where(x < half, 0, law.cdf(x - half))
            return np.log((weights * (high - low)).sum(axis=-1))

        return SimpleNamespace(logpmf=logpmf)

    return frozen


def softmax_masses(r):
    def logpmf(x):
        k = np.round(x * (r.shape[-1] - 1)).astype(int)
        chosen = [scipy.special.log_softmax(r, axis=-1)[..., i] for i in k.ravel()]
        return np.stack(chosen)

    return SimpleNamespace(logpmf=logpmf)


def cut_exponential(r):
    """A continuous Bernoulli is an exponential that [0, 1] cuts off."""
    size = np.abs(r[..., 0])
    law = stats.truncexpon(size, scale=1 / size)  # falls; rises if mirrored
    return SimpleNamespace(
        logpdf=lambda x: law.logpdf(np.where(r[..., 0] > 0, 1 - x, x))
    )


class Row(NamedTuple):
    """A likelihood, scipy's or our own frozen law of its raw values, and some."""

    factory: Any
    reference: Any
    low: float = -4.0  # raw values are drawn from here
    high: float = 4.0
    event_shape: tuple[int, ...] = (1,)
    exact: bool = True  # whether mean and mode are those of the sums


names = likelihoods
grey = partial(names.discretized_logistic_mixture, num_levels=17)
ROWS = {
    "bernoulli": Row(
        names.bernoulli, lambda r: stats.bernoulli(scipy.special.expit(r))
    ),
    "continuous bernoulli": Row(names.continuous_bernoulli, cut_exponential, -9, 9),
    "normal": Row(partial(names.normal, scale=0.5), lambda r: stats.norm(r, 0.5)),
    "laplace": Row(partial(names.laplace, scale=0.5), lambda r: stats.laplace(r, 0.5)),
    "student t": Row(names.student_t, lambda r: stats.t(5, r, 1)),
    "discretized logistic": Row(
        names.discretized_logistic, rounded_logistic(256), -1, 1
    ),
    "discretized logistic, 2 levels": Row(
        partial(names.discretized_logistic, num_levels=2),
        rounded_logistic(2),
        -0.4,
        0.4,
    ),
    "mixture": Row(partial(grey, num_components=3), rounded_logistic(17, 3), -1, 1),
    "mixture, coupled": Row(
        partial(grey, num_components=2, coupling=True),
        None,
        event_shape=(1, 1, 3),
        exact=False,
    ),
    "categorical": Row(partial(names.categorical, num_categories=40), softmax_masses),
    "tokens": Row(
        partial(names.categorical, num_categories=7, tokens=True),
        lambda r: SimpleNamespace(
            logpmf=lambda x: softmax_masses(r).logpmf(x / (r.shape[-1] - 1))
        ),
    ),
    "beta-binomial": Row(
        names.beta_binomial,
        lambda r: SimpleNamespace(
            logpmf=lambda x: stats.betabinom(
                255, *np.moveaxis(1e-3 + softplus(r), -1, 0)
            ).logpmf(np.round(255 * x))
        ),
        -4,
        300,
    ),
    "poisson": Row(names.poisson, lambda r: stats.poisson(1e-6 + softplus(r)), -4, 99),
    "negative binomial": Row(
        partial(names.negative_binomial, concentration="decoded"),
        lambda r: nbinom(r[..., 0], 1e-3 + softplus(r[..., 1])),
        1,
        30,
    ),
    "zero-inflated": Row(names.zero_inflated_negative_binomial, zero_inflated, -2, 3),
}
each = pytest.mark.parametrize("name", ROWS)
REJECTING = ("student t", "poisson", "negative binomial", "zero-inflated")  # samplers
drawn = [
    pytest.param(name, marks=pytest.mark.slow if name in REJECTING else ())
    for name in ROWS
]
DISCRETE = ("binary", "levels", "counts")


def family_of(row):
    return row.factory(toy.identity(), row.event_shape)


def made(row, raw):
    """The likelihood at raw values `[N, P]`: its own, through an identity head."""
    family = family_of(row)
    params = family.init(jax.random.key(0), jnp.zeros((1, raw.shape[1])))

    def direct(path, leaf):
        name = path[-1].key
        if name == "kernel":
            return jnp.eye(leaf.shape[0], dtype=raw.dtype)
        return jnp.zeros_like(leaf) if name == "bias" else leaf

    return family.make(jax.tree_util.tree_map_with_path(direct, params), raw)


@functools.cache
def raw_of(name):
    """Raw values `[N, P]` in float64, and as the reference reads them."""
    row = ROWS[name]
    params = jax.eval_shape(family_of(row).init, jax.random.key(0), jnp.zeros((1, 1)))
    head = params.get("decoder", params)["head"]
    size = head["bias"].shape[0]
    raw = np.random.default_rng(1).uniform(row.low, row.high, (NUM, size))
    raw = np.asarray(raw, np.float32).astype(float)  # the same numbers in both
    num_own = size // int(np.prod(row.event_shape))
    return raw, raw if num_own == 1 else raw.reshape(NUM, 1, -1)


def points(p, frozen):
    """The values `[V]` of the support, and the width of each: 1 if discrete."""
    if p.support == "real":  # a grid on the scale of its sinh
        t = np.linspace(-16, 16, 16_001)
        return np.sinh(t), np.cosh(t) * (t[1] - t[0])
    if p.support == "unit_interval":
        nodes, weights = np.polynomial.legendre.leggauss(60)
        return (nodes + 1) / 2, weights / 2
    if p.support == "binary":
        values = np.arange(2.0)
    elif p.num_values() is None:
        values = np.arange(np.max(frozen.isf(1e-9)) + 1)
    else:
        values = np.arange(p.num_values()) / (
            p.num_values() - 1 if p.support == "levels" else 1
        )
    return values, np.ones_like(values)


@functools.cache
def answers(name, dtype):
    """All that a row says about the points of its support, in one program."""
    row, (raw, own) = ROWS[name], raw_of(name)
    raw = jnp.asarray(raw, dtype)
    frozen = row.reference(own) if row.reference else None
    values, widths = points(jax.eval_shape(partial(made, row), raw), frozen)

    size = int(np.prod(row.event_shape))
    x = np.random.default_rng(2).choice(values, (NUM, size))

    @jax.jit
    def ask(raw, values, x):
        p = made(row, raw)
        each, ndims = p.replace(event_ndims=0), len(row.event_shape)
        x = jnp.broadcast_to(x, (size, len(values), NUM, size))
        for c in range(size):  # one element takes all values
            x = x.at[c, ..., c].set(values[:, None])
        x = x.reshape(size, len(values), NUM, *row.event_shape)
        own = each.log_prob(x)
        terms = [own[c].reshape(-1, NUM, size)[..., c] for c in range(size)]
        got = {
            "terms": jnp.stack(terms, axis=-1),  # [V, N, E]
            "summed": p.log_prob(x) - own.sum(axis=tuple(range(-ndims, 0))),
        }
        if dtype == "float64" and row.exact:
            got["mean"] = p.mean().reshape(NUM, -1)
            got["mode"] = p.mode().reshape(NUM, -1)
        return got

    got = ask(raw, jnp.asarray(values, dtype), jnp.asarray(x, dtype))
    got = {key: np.asarray(leaf, float) for key, leaf in got.items()}
    return p_of(row, raw), values, widths, frozen, got


def p_of(row, raw):
    return jax.eval_shape(partial(made, row), raw)


@each
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_it_sums_to_1_and_mean_and_mode_are_those_of_the_sum(name, dtype):
    with jax.enable_x64(dtype == "float64"):
        p, values, widths, _, got = answers(name, dtype)
    row, mass = ROWS[name], np.exp(got["terms"]) * widths[:, None, None]  # [V, N, E]
    limit = FLOAT32 if dtype == "float32" else 1e-6
    if p.support == "real":
        limit = 1e-4  # of the grid, which a Laplace's edge lies beside
    np.testing.assert_allclose(mass.sum(axis=0), 1, atol=limit)
    largest = np.abs(got["terms"].sum(axis=-1)).max()
    assert np.abs(got["summed"]).max() <= 1e-6 * (1 + largest)
    if row.exact and dtype == "float64":
        mean = (mass * values[:, None, None]).sum(axis=0)
        scale = np.abs(values * mass[..., 0].T).sum(axis=1).max()
        np.testing.assert_allclose(got["mean"], mean, rtol=limit, atol=limit * scale)
        distance = np.abs(got["mode"] - values[:, None, None])  # [V, N, E]
        at_mode = np.take_along_axis(got["terms"], distance.argmin(axis=0)[None], 0)
        assert (at_mode >= got["terms"].max(axis=0) - 1e-3 * (limit > 1e-6)).all()
        if p.support in DISCRETE:
            assert distance.min(axis=0).max() < 1e-6


@each
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_log_prob_is_the_references(name, dtype):
    with jax.enable_x64(dtype == "float64"):
        p, values, _, frozen, got = answers(name, dtype)
    if frozen is None:
        pytest.skip("no library has it; see its own tests")
    log = frozen.logpmf if p.support in DISCRETE else frozen.logpdf
    with np.errstate(divide="ignore"):
        expected = log(values[:, None, None]).reshape(got["terms"].shape)
    seen = expected > -25  # further out the reference has no digits left
    limit = 1e-5 if dtype == "float32" else 1e-8
    np.testing.assert_allclose(
        got["terms"][seen], expected[seen], rtol=2 * limit, atol=limit
    )


@pytest.mark.parametrize("name", drawn)
def test_draws_are_in_the_support_and_have_its_mean_and_variance(name):
    with jax.enable_x64(True):
        p, values, widths, _, got = answers(name, "float64")
    row, (raw, _) = ROWS[name], raw_of(name)

    @jax.jit
    def draw(raw, keys):
        return made(row, raw).sample(keys, (4000,))

    keys, order = toy.keys(5, NUM), np.array([3, 1, 3, 0, 0])
    x = draw(jnp.asarray(raw, jnp.float32), keys)
    assert x.shape == (4000, NUM, *row.event_shape)
    # An example's own key and raw values alone decide, not its place or its company.
    again = draw(jnp.asarray(raw[order], jnp.float32), toy.keys(5, NUM)[order])
    np.testing.assert_array_equal(again, x[:, order])
    x = np.asarray(x, float).reshape(4000, NUM, -1)
    assert np.isfinite(x).all()
    if p.support in DISCRETE and p.num_values() != 7:
        index = np.searchsorted(values, x.ravel() - 1e-6).clip(max=len(values) - 1)
        np.testing.assert_allclose(values[index], x.ravel(), atol=1e-6)
    mass = np.exp(got["terms"]) * widths[:, None, None]
    if row.exact:
        toy.same_mean(x, got["mean"])
        gap = values[:, None, None] - got["mean"]
        toy.same_mean((x - got["mean"]) ** 2, (mass * gap**2).sum(axis=0))


@pytest.mark.slow
@each
def test_log_prob_and_gradient_are_finite_for_outputs_of_10000(name):
    row, (raw, _) = ROWS[name], raw_of(name)
    rng = np.random.default_rng(0)
    raw = rng.choice([-EXTREME, 0, EXTREME], (60, raw.shape[1])).astype(np.float32)
    p = p_of(row, raw)
    if p.support == "real":
        values = [-EXTREME, -1.0, 0.0, EXTREME]
    elif p.support == "counts":
        last = (p.num_values() or 1_000_001) - 1
        values = [0.0, 1.0, last // 2, last]
    else:
        values = [0.0, 0.5, 1.0]
    x = rng.choice(np.float32(values), (20, 1, *row.event_shape))

    @jax.jit
    @partial(jax.value_and_grad, has_aux=True)
    def terms(raw):
        own = made(row, raw).log_prob(x)
        return own.sum(), own

    (_, own), gradient = terms(raw)
    assert np.isfinite(own).all()
    assert np.isfinite(gradient).all()
    assert (np.abs(gradient).max(axis=0) > 0).all()


@each
def test_the_docstring_says_what_is_tested_here(name):
    row = ROWS[name]
    factory = getattr(row.factory, "func", row.factory)
    doc = " ".join(inspect.getdoc(factory).split())
    p = p_of(row, raw_of(name)[0])
    if factory in (likelihoods.bernoulli, likelihoods.normal):
        return
    assert "10,000 in size" in doc
    if p.support in DISCRETE:
        assert f"sum to 1 within {FLOAT32:.0e}".replace("e-05", "e-5") in doc
