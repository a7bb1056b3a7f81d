import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax
from tests import toy
from vaejax import likelihoods, networks, posteriors, priors
from vaejax.networks import decoded, headed, mlp

KEY = 0


class Convolution(nn.Module):
    """A network of a user's own, on images `[N, H, W, C]` and nothing else."""

    @nn.compact
    def __call__(self, x):
        """Features `[N, H, W, 2]`."""
        assert x.ndim == 4
        return nn.tanh(nn.Conv(2, (3, 3), name="conv")(x))


class Normalised(nn.Module):
    """A network that keeps statistics of the batch."""

    @nn.compact
    def __call__(self, x):
        """Features `[N, 3]`."""
        return nn.BatchNorm(use_running_average=False, name="norm")(nn.Dense(3)(x))


def pure():
    """A pair of pure functions, without flax."""

    def init(key, z):
        return {"w": jax.random.normal(key, (z.shape[-1], 7))}

    return init, lambda params, z: jnp.tanh(z @ params["w"])


NUMPY = {
    "relu": lambda h: np.maximum(h, 0),
    "tanh": np.tanh,
    "silu": lambda h: h / (1 + np.exp(-h)),
    "gelu": lambda h: h / (1 + np.exp(-np.sqrt(8 / np.pi) * (h + 0.044715 * h**3))),
}


@pytest.mark.parametrize("activation", NUMPY)
def test_an_mlp_is_what_numpy_computes(activation):
    x = jax.random.normal(jax.random.key(1), (5, 2, 3))
    network = headed(mlp(hidden=(4, 3), activation=activation), 2)
    params = network.init(jax.random.key(KEY), x)
    h = np.asarray(x).reshape(5, 6)
    for name in ("dense_0", "dense_1"):
        layer = params["network"]["params"][name]
        h = h @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])
        h = NUMPY[activation](h)
    expected = h @ np.asarray(params["head"]["kernel"]) + params["head"]["bias"]
    np.testing.assert_allclose(network.apply(params, x), expected, rtol=1e-4, atol=1e-6)


def test_an_mlp_without_hidden_layers_is_affine_and_takes_integers_as_numbers():
    network = headed(mlp(hidden=()), 2)
    x = jnp.arange(12, dtype=jnp.uint8).reshape(4, 3)
    params = network.init(jax.random.key(KEY), x)
    expected = np.asarray(x, float) @ np.asarray(params["head"]["kernel"])
    np.testing.assert_allclose(network.apply(params, x), expected, rtol=1e-5)
    assert mlp(hidden=7) == mlp(hidden=(7,))


@pytest.mark.parametrize("hidden", [(0,), (4, -1), 0])
def test_a_width_below_1_is_an_error(hidden):
    with pytest.raises(ValueError, match="at least 1, got"):
        mlp(hidden=hidden)


def test_an_unknown_activation_is_an_error():
    with pytest.raises(ValueError, match="gelu, relu, silu, tanh, got 'cosine'"):
        mlp(activation="cosine")  # type: ignore[arg-type]


def test_a_module_and_a_pair_of_pure_functions_make_a_model_of_images():
    model = vaejax.latent_variable_model(
        posteriors.diagonal_normal(Convolution(), 2),
        priors.standard_normal(2),
        likelihoods.bernoulli(pure(), (4, 4, 1)),
    )
    x = toy.bits(3, 16).reshape(3, 4, 4, 1)
    params = jax.jit(model.init)(jax.random.key(KEY), x)
    assert model.encode(params, x).mean().shape == (3, 2)
    p = model.decode(params, jnp.ones((5, 3, 2)))
    assert p.mean().shape == (5, 3, 4, 4, 1)
    assert p.log_prob(x).shape == (5, 3)


def test_a_module_that_keeps_statistics_is_refused_with_advice():
    with pytest.raises(ValueError, match=r"batch_stats.*LayerNorm or GroupNorm"):
        headed(Normalised(), 2).init(jax.random.key(KEY), jnp.ones((4, 3)))


@pytest.mark.parametrize(
    "network",
    [Convolution, 3, (1, 2), (pure()[0],)],
    ids=["class", "number", "pair of numbers", "one function"],
)
def test_what_is_no_network_is_refused(network):
    with pytest.raises(TypeError, match="module, a pair"):
        headed(network, 2)


@pytest.mark.parametrize(
    "factory",
    [
        lambda: headed(mlp(), 0),
        lambda: posteriors.diagonal_normal(mlp(), 0),
        lambda: posteriors.point_mass(mlp(), 0),
        lambda: priors.standard_normal(0),
    ],
    ids=["headed", "diagonal_normal", "point_mass", "standard_normal"],
)
def test_a_distribution_of_no_dimension_is_an_error(factory):
    with pytest.raises(ValueError, match="at least 1"):
        factory()


def test_a_decoder_keeps_every_leading_axis():
    network = decoded(mlp(hidden=(4,)), (2, 3))
    z = jax.random.normal(jax.random.key(1), (2, 5, 4, 3))  # [S, K, B, D]
    params = network.init(jax.random.key(KEY), z[0, 0])
    out = network.apply(params, z)
    assert out.shape == (2, 5, 4, 2, 3)
    np.testing.assert_allclose(network.apply(params, z[1]), out[1], atol=1e-6)
    np.testing.assert_allclose(network.apply(params, z[1, 2]), out[1, 2], atol=1e-6)
    one = network.apply(params, z[1, 2, 3])  # [D]
    assert one.shape == (2, 3)
    np.testing.assert_allclose(one, out[1, 2, 3], atol=1e-6)


def test_the_networks_are_public():
    assert networks.mlp is vaejax.networks.mlp
