import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import toy
from tests.flows.test_flows import stirred
from vaejax import flows
from vaejax.batch import AXIS, Shared, global_batch
from vaejax.distributions import Normal
from vaejax.rates import analytic, path_derivative, sampled

B, D, C = 4, 3, 2
RNG = np.random.default_rng(0)
BASE = Normal(*(RNG.uniform(0.5, 1.5, (2, B, D)).astype(np.float32)))
CONTEXT = RNG.normal(size=(B, C)).astype(np.float32)
IAF = flows.repeat(flows.inverse_autoregressive(hidden=(6,)), 2)
PRIOR = Normal(jnp.zeros(D), jnp.ones(D))


def posterior(flow=IAF, base=BASE, context=CONTEXT):
    params = Shared(stirred(flow, D, C))
    return flows.Transformed(base, params, flow, context)


def test_the_density_of_a_draw_is_the_same_in_one_pass_and_by_the_scan():
    q = posterior()

    @jax.jit
    def both(keys):
        z, log_q = q.sample_and_log_prob(keys, (5,))
        return z, log_q, q.log_prob(z)

    z, log_q, again = both(toy.keys(0, B))
    assert z.shape == (5, B, D)
    assert log_q.shape == (5, B)
    np.testing.assert_allclose(log_q, again, rtol=1e-4, atol=1e-4)


def test_it_is_the_base_at_the_inverse_and_the_log_determinant_of_the_inverse():
    q, value = posterior(), RNG.normal(size=(B, D)).astype(np.float32)
    z, log_det = IAF.inverse(q.params.tree, value, CONTEXT)
    expected = toy.log_normal(z, BASE.loc, BASE.scale) + np.asarray(log_det)
    np.testing.assert_allclose(q.log_prob(value), expected, rtol=1e-4, atol=1e-4)


def test_a_draw_is_the_bases_pushed_forward_whatever_the_key():
    q = posterior(flows.linear())
    for key in (jax.random.key(1), toy.keys(1, B)):
        z = BASE.sample(key, (2,))
        expected, _ = q.flow.forward(q.params.tree, z, CONTEXT)
        np.testing.assert_allclose(
            q.sample(jax.random.clone(key), (2,)), expected, rtol=1e-5
        )


def test_every_value_meets_every_context():
    """As in a VampPrior, or an aggregated posterior."""
    q, value = posterior(), RNG.normal(size=(7, D)).astype(np.float32)
    table = jax.jit(lambda value: q.log_prob(value[:, None]))(value)
    assert table.shape == (7, B)
    own = posterior(base=jax.tree.map(lambda leaf: leaf[2], BASE), context=CONTEXT[2])
    np.testing.assert_allclose(table[:, 2], own.log_prob(value), rtol=1e-4)


def test_a_prior_has_no_batch_shape_until_its_keys_have():
    flow = flows.masked_autoregressive(hidden=(4,))
    p = flows.Transformed(PRIOR, Shared(stirred(flow, D)), flow)

    def shape(function, *args):
        return jax.eval_shape(function, *args).shape

    assert shape(p.sample, jax.random.key(0)) == (D,)
    assert shape(lambda keys: p.sample(keys, (5,)), toy.keys(0, B)) == (5, B, D)
    assert shape(p.log_prob, jnp.zeros((5, B, D))) == (5, B)


def test_a_flow_that_runs_forward_only_says_what_to_use_instead():
    q = posterior(flows.planar())
    z = BASE.loc
    with pytest.raises(TypeError, match=r"forward only.*rates\.sampled"):
        q.log_prob(z)
    with pytest.raises(TypeError, match=r"forward only.*rates\.sampled"):
        q.sample_and_rates(toy.keys(0, B), PRIOR, path_derivative)
    with pytest.raises(TypeError, match=r"Transformed.*no closed form.*sampled"):
        q.sample_and_rates(toy.keys(0, B), PRIOR, analytic)


def test_the_path_derivative_is_sampled_without_the_score():
    flow = flows.affine_coupling(hidden=(4,))
    start = posterior(flow)

    def rate(q, kind):
        _, (value,) = q.sample_and_rates(jax.random.key(3), PRIOR, kind)
        return value.sum()

    z = start.sample(jax.random.key(3))

    @jax.jit
    def gradients(q):
        score = jax.grad(lambda q: q.log_prob(z).sum())(q)
        return jax.grad(rate)(q, sampled), jax.grad(rate)(q, path_derivative), score

    with jax.debug_key_reuse(False):
        both, path, score = gradients(start)
    for a, b, c in zip(*map(jax.tree.leaves, (both, path, score)), strict=True):
        np.testing.assert_allclose(a, b + c, rtol=1e-3, atol=1e-4)


def test_on_4_devices_the_posteriors_of_all_examples_are_gathered_whole():
    flow = flows.linear()
    params = stirred(flow, D, C)
    value = RNG.normal(size=(B, D)).astype(np.float32)

    @functools.partial(jax.pmap, axis_name=AXIS, devices=jax.devices()[:4])
    def table(loc, scale, context):
        q = flows.Transformed(Normal(loc, scale), Shared(params), flow, context)
        return global_batch(q).log_prob(value)

    whole = table(BASE.loc[:, None], BASE.scale[:, None], CONTEXT[:, None])
    expected = posterior(flow).log_prob(value)
    for device in range(4):
        np.testing.assert_allclose(whole[device], expected, rtol=1e-5)


def test_a_temperature_scales_the_noise_of_the_base():
    flow = flows.linear()
    p = flows.Transformed(PRIOR, Shared(stirred(flow, D)), flow)
    cold = p.tempered(0.0).sample(jax.random.key(0), (3,))
    centre, _ = flow.forward(p.params.tree, jnp.zeros((3, D)), None)
    np.testing.assert_allclose(cold, centre, rtol=1e-6)
