"""What the keyword arguments of the likelihoods do, and which are refused."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from tests import toy
from vaejax import likelihoods
from vaejax.distributions import Normal, StudentT

Z = jax.random.normal(jax.random.key(1), (4, 2))
X = jax.random.normal(jax.random.key(2), (4, 3))
each = pytest.mark.parametrize
LAWS = {
    "laplace": (likelihoods.laplace, scipy.stats.laplace),
    "student_t": (
        partial(likelihoods.student_t, degrees_of_freedom=4.0),
        partial(scipy.stats.t, 4.0),
    ),
}


@each("law", LAWS)
@each("scale", [0.3, "learned", "per_dimension"])
def test_a_scale_is_given_or_starts_at_1_and_is_a_softplus(law, scale):
    factory, reference = LAWS[law]
    family = factory(toy.identity(), (3,), scale=scale)
    params = family.init(jax.random.key(0), Z)
    width = scale
    if isinstance(scale, str):
        shape = {"learned": (), "per_dimension": (3,)}[scale]
        assert params["raw_scale"].shape == shape
        np.testing.assert_allclose(family.make(params, Z).scale, 1, rtol=1e-6)
        raw = jnp.linspace(-1, 2, 3)[: max(1, math.prod(shape))].reshape(shape)
        params["raw_scale"] = raw
        width = np.log1p(np.exp(np.asarray(raw))) + 1e-3
    else:
        assert set(params) == {"decoder"}
    p = family.make(params, Z)
    expected = reference(p.loc, width).logpdf(X).sum(axis=-1)
    np.testing.assert_allclose(p.log_prob(X), expected, rtol=1e-4)


def test_learned_degrees_of_freedom_start_at_5_and_stay_above_1():
    family = likelihoods.student_t(toy.identity(), (3,))
    params = family.init(jax.random.key(0), Z)
    np.testing.assert_allclose(family.make(params, Z).degrees_of_freedom, 5, rtol=1e-6)
    params["raw_degrees_of_freedom"] = jnp.float32(-50)
    p = family.make(params, Z)
    np.testing.assert_allclose(p.degrees_of_freedom, 1, rtol=1e-6)
    gradient = jax.grad(lambda nu: p.replace(degrees_of_freedom=nu).log_prob(X).sum())(
        p.degrees_of_freedom
    )
    assert np.isfinite(gradient)


def test_a_student_t_of_many_degrees_is_normal_and_of_one_has_no_mean():
    loc, scale = jnp.zeros(3), jnp.full(3, 0.7)
    normal = Normal(loc, scale).log_prob(X)
    for degrees in (1e7, 1e15):
        p = StudentT(loc, scale, jnp.float32(degrees))
        np.testing.assert_allclose(p.log_prob(X), normal, rtol=1e-5)
    assert np.isnan(StudentT(loc, scale, jnp.float32(1)).mean()).all()
    np.testing.assert_array_equal(StudentT(loc, scale, jnp.float32(2)).mean(), loc)


def test_a_concentration_is_each_elements_own_from_1_on_or_decoded():
    own = likelihoods.negative_binomial(toy.identity(), (3,))
    params = own.init(jax.random.key(0), Z)
    assert params["raw_concentration"].shape == (3,)
    p = own.make(params, Z)
    np.testing.assert_allclose(p.concentration, np.ones(3), rtol=1e-6)
    decoded = likelihoods.negative_binomial(
        toy.identity(), (3,), concentration="decoded"
    )
    params = decoded.init(jax.random.key(0), Z)
    assert set(params) == {"decoder"}
    assert decoded.make(params, Z).concentration.shape == (4, 3)


def test_a_mixture_of_one_component_is_the_discretized_logistic():
    one = likelihoods.discretized_logistic(toy.identity(), (3,), num_levels=9)
    mixture = likelihoods.discretized_logistic_mixture(
        toy.identity(), (3,), num_levels=9, num_components=1
    )
    params = mixture.init(jax.random.key(0), Z)
    head = params["head"]  # for each element: weight, centre, scale
    plain = {
        "network": {},
        "head": {
            "kernel": head["kernel"].reshape(2, 3, 3)[..., 1:].reshape(2, 6),
            "bias": head["bias"].reshape(3, 3)[..., 1:].reshape(6),
        },
    }
    x = jnp.round(jax.nn.sigmoid(X) * 8) / 8
    ask = jax.jit(lambda p: (p.log_prob(x), p.mean()))
    both = ask(mixture.make(params, Z)), ask(one.make(plain, Z))
    for mine, theirs in zip(*both, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5)


@each("coupling", [False, True])
def test_the_components_of_a_mixture_start_apart_over_the_levels(coupling):
    family = likelihoods.discretized_logistic_mixture(
        toy.identity(), (2, 2, 3), num_components=4, coupling=coupling
    )
    params = family.init(jax.random.key(0), Z)
    params["head"] = jax.tree.map(jnp.zeros_like, params["head"])
    loc = family.make(params, Z).loc
    assert loc.shape == (4, 2, 2, 3, 4)
    np.testing.assert_allclose(loc[0, 0, 0, 0], [0.125, 0.375, 0.625, 0.875])


@each(
    ("factory", "flag"),
    [
        (partial(likelihoods.categorical, num_categories=5), "tokens"),
        (partial(likelihoods.beta_binomial, total_count=4), "counts"),
    ],
    ids=["categorical", "beta-binomial"],
)
def test_levels_are_the_numbers_over_the_last(factory, flag):
    def both(z):
        for levels in (True, False):
            family = factory(toy.identity(), (3,), **{flag: not levels})
            p = family.make(family.init(jax.random.key(0), z), z)
            assert p.support == ("levels" if levels else "counts")
            assert p.num_values() == 5
            draw = p.sample(jax.random.key(3))
            unit = 4 if levels else 1
            yield unit * draw, p.log_prob(draw), unit * p.mean(), unit * p.mode()

    levels, numbers = jax.jit(lambda z: tuple(both(z)))(Z)
    for mine, theirs in zip(levels, numbers, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6)


REFUSED = [
    ("laplace", {"scale": 0.0}, "scale must be positive and finite, got 0.0"),
    ("laplace", {"scale": "optimal"}, "'learned' or 'per_dimension', got 'optimal'"),
    ("laplace", {"scale": 1e-50}, "float32 reaches from 1e-38 to 3e\\+38"),
    ("student_t", {"scale": math.nan}, "scale must be positive and finite, got nan"),
    ("student_t", {"degrees_of_freedom": -1}, "positive and finite, got -1"),
    (
        "student_t",
        {"degrees_of_freedom": math.inf},
        "got inf: use normal",
    ),
    ("student_t", {"degrees_of_freedom": "fixed"}, "or 'learned', got 'fixed'"),
    ("discretized_logistic", {"num_levels": 1}, "at least 2, got 1"),
    ("discretized_logistic_mixture", {"num_levels": 1}, "got 1 and 5"),
    ("discretized_logistic_mixture", {"num_components": 0}, "got 256 and 0"),
    ("discretized_logistic_mixture", {"coupling": True}, r"not for .* \(3,\)"),
    ("categorical", {"num_categories": 1}, "at least 2, got 1"),
    ("beta_binomial", {"total_count": 0}, "at least 1, got 0"),
    ("negative_binomial", {"concentration": 1.0}, "or 'decoded', got 1.0"),
    ("zero_inflated_negative_binomial", {"concentration": "x"}, "got 'x'"),
]


@each(("name", "flags", "message"), REFUSED)
def test_what_cannot_be_is_refused_by_the_factory(name, flags, message):
    with pytest.raises(ValueError, match=message):
        getattr(likelihoods, name)(toy.identity(), (3,), **flags)


def test_a_value_far_from_student_t_costs_its_logarithm():
    far = np.array([1e3, 1e8, 1e10, 1e20, 1e30])

    def log_prob(nu, value):
        return StudentT(jnp.zeros(5), 1.0, nu, event_ndims=0).log_prob(value)

    for nu in (1.0, 5.0, 1e4):
        got = log_prob(jnp.float32(nu), jnp.asarray(far, float))
        np.testing.assert_allclose(got, scipy.stats.t(nu).logpdf(far), rtol=2e-5)
        slopes = jax.grad(lambda nu: log_prob(nu, jnp.asarray(far, float)).sum())(nu)
        assert np.isfinite(slopes)
