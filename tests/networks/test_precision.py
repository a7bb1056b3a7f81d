"""bfloat16 is for products; what is learned, told and summed up stays float32."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.extend.core import jaxprs_in_params

import vaejax
from tests import toy
from vaejax import likelihoods, networks, posteriors, priors
from vaejax.networks import headed
from vaejax.networks.precision import lowered, product
from vaejax.objectives import elbo

NETWORKS = {
    "mlp": functools.partial(networks.mlp, hidden=(16,)),
    "conv": functools.partial(networks.conv, channels=(4, 6), hidden=(5,)),
    "residual": functools.partial(networks.residual, channels=(4,), hidden=(5,)),
}
X = toy.bits(16, 64).reshape(16, 8, 8)
each_network = pytest.mark.parametrize("name", NETWORKS)


def model_of(name, dtype):
    network = NETWORKS[name](dtype=dtype)
    return vaejax.latent_variable_model(
        posteriors.diagonal_normal(network, 3),
        priors.standard_normal(3),
        likelihoods.bernoulli(network, (8, 8)),
    )


@functools.cache
def params_of(name):
    return model_of(name, "bfloat16").init(jax.random.key(0), X)


def mean_loss(name, dtype, params, x):
    loss, metrics = elbo().loss(toy.keys(1, 16), model_of(name, dtype), params, x)
    return loss.mean(), metrics


def products(jaxpr):
    """The types of the operands of every product and convolution, at any depth."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            yield {str(operand.aval.dtype) for operand in equation.invars}
        for inner in jaxprs_in_params(equation.params):
            yield from products(inner)


@each_network
@pytest.mark.parametrize("x", [X, X.astype(np.uint8)], ids=["float32", "uint8"])
def test_all_products_are_in_bfloat16_and_nothing_else_is_seen_of_it(name, x):
    params = params_of(name)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(params)} == {"float32"}
    gradient = jax.value_and_grad(
        functools.partial(mean_loss, name, "bfloat16"), has_aux=True
    )
    seen = list(products(jax.make_jaxpr(gradient)(params, x).jaxpr))
    assert len(seen) >= 10  # forward and backward
    assert all(kinds == {"bfloat16"} for kinds in seen), seen
    out = jax.eval_shape(gradient, params, x)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(out)} == {"float32"}


@each_network
def test_the_elbo_is_that_of_float32_within_a_half_per_cent(name):
    params = params_of(name)
    larger = jax.tree.map(lambda leaf: 2 * leaf, params["likelihood"])
    params = params | {"likelihood": larger}  # logits that matter
    (low, low_terms), (full, terms) = (
        jax.jit(functools.partial(mean_loss, name, dtype))(params, X)
        for dtype in ("bfloat16", "float32")
    )
    assert low != full
    np.testing.assert_allclose(low, full, rtol=5e-3)
    np.testing.assert_allclose(low_terms["distortion"], terms["distortion"], rtol=0.02)


@each_network
def test_the_gradient_is_that_of_float32_within_a_few_per_cent(name):
    low, full = (
        jax.jit(jax.grad(functools.partial(mean_loss, name, dtype), has_aux=True))(
            params_of(name), X
        )[0]
        for dtype in ("bfloat16", "float32")
    )
    gap = optax.tree.norm(optax.tree.sub(low, full))
    assert 0 < gap < 0.03 * optax.tree.norm(full)


def test_it_trains_to_the_loss_of_float32():
    losses = {}
    for dtype in ("bfloat16", "float32"):
        model, optimizer = model_of("mlp", dtype), optax.adam(3e-3)
        x = jnp.where(jnp.arange(8) < 4, X[:, :1], 1 - X[:, :1])  # something to learn
        x = jnp.broadcast_to(x, X.shape)
        state = vaejax.init_state(jax.random.key(0), model, elbo(), optimizer, x)
        step = functools.partial(vaejax.train_step, model, elbo(), optimizer)
        epoch = jax.jit(functools.partial(vaejax.train_epoch, step, 16))
        first = None
        for _ in range(300):
            state, metrics = epoch(state, data=x)
            first = metrics["loss"] if first is None else first
        losses[dtype] = float(metrics["loss"])
        assert metrics["loss"] < 0.7 * first
    np.testing.assert_allclose(losses["bfloat16"], losses["float32"], rtol=0.02)


def test_features_times_weights_are_added_in_float32():
    """1,000 terms of 1 + 2^-7: bfloat16 itself would round their sum to 1,008."""
    h, kernel = jnp.full((1, 1000), 1 + 2**-7), jnp.ones((1000, 2))
    out = product(lowered(h), lowered(kernel))
    assert out.dtype == jnp.float32
    np.testing.assert_array_equal(out, 1007.8125)
    ones = jnp.ones((3, 4), jnp.bfloat16)
    grads = jax.grad(lambda h: product(h, ones.T).sum())(ones)
    np.testing.assert_array_equal(grads.astype(float), 3 * np.ones((3, 4)))


@pytest.mark.parametrize("factory", NETWORKS.values(), ids=NETWORKS)
def test_an_unknown_precision_is_an_error(factory):
    with pytest.raises(ValueError, match=r"float32, bfloat16, got 'float16'"):
        factory(dtype="float16")


def test_a_network_without_hidden_layers_computes_its_head_in_bfloat16():
    network = headed(networks.mlp(hidden=(), dtype="bfloat16"), 2)
    x = jnp.full((3, 5), 1 + 2**-10)  # 1 in bfloat16
    params = network.init(jax.random.key(0), x)
    expected = network.apply(params, jnp.ones((3, 5)))
    np.testing.assert_array_equal(network.apply(params, x), expected)
