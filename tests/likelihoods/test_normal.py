import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh

import vaejax
from tests import toy
from vaejax import likelihoods, posteriors, priors
from vaejax.likelihoods.scale import MIN_SCALE
from vaejax.objectives import elbo, reconstruction

X = jax.random.normal(jax.random.key(0), (8, 3)) * jnp.array([1.0, 2.0, 3.0])
Z = jax.random.normal(jax.random.key(1), (8, 2))


def family(scale):
    return likelihoods.normal(toy.identity(), (3,), scale=scale)


def auto_encoder(scale):
    return vaejax.latent_variable_model(
        posteriors.point_mass(toy.identity(), 2),
        priors.standard_normal(2),
        family(scale),
    )


def decoded(params, z=Z):
    head = params["decoder"]["head"]
    return np.asarray(z) @ np.asarray(head["kernel"]) + np.asarray(head["bias"])


def test_a_number_is_the_standard_deviation_and_nothing_is_learned_but_the_decoder():
    params = family(0.3).init(jax.random.key(2), Z)
    assert set(params) == {"decoder"}
    p = family(0.3).make(params, Z)
    np.testing.assert_allclose(
        p.log_prob(X), toy.log_normal(X, decoded(params), 0.3), rtol=1e-4
    )


@pytest.mark.parametrize("scale", ["learned", "per_dimension"])
def test_a_learned_scale_starts_at_1_and_is_a_softplus(scale):
    params = family(scale).init(jax.random.key(2), Z)
    assert params["raw_scale"].shape == {"learned": (), "per_dimension": (3,)}[scale]
    p = family(scale).make(params, Z)
    expected = toy.log_normal(X, decoded(params), 1)
    np.testing.assert_allclose(p.log_prob(X), expected, rtol=1e-4)
    raw = jnp.linspace(-30, 2, 3)[: params["raw_scale"].size]
    params["raw_scale"] = raw.reshape(params["raw_scale"].shape)
    p = family(scale).make(params, Z)
    widths = np.log1p(np.exp(np.asarray(params["raw_scale"], float))) + MIN_SCALE
    expected = toy.log_normal(X, decoded(params), widths)
    np.testing.assert_allclose(p.log_prob(X), expected, rtol=1e-3)


@pytest.mark.parametrize("leading", [(), (5,)], ids=["one particle", "five"])
def test_the_mean_of_the_profile_loss_and_its_gradient_are_the_formulas(leading):
    z = jax.random.normal(jax.random.key(3), (*leading, 8, 2))
    params = family("optimal").init(jax.random.key(2), Z)

    def loss(decoder):
        own = params | {"decoder": decoder}
        return family("optimal").make(own, z).distortion(X).mean()

    def formula(decoder):
        loc = z @ decoder["head"]["kernel"] + decoder["head"]["bias"]
        variance = ((X - loc) ** 2).mean()
        return 3 / 2 * (jnp.log(2 * jnp.pi * variance) + 1)

    got = jax.jit(jax.value_and_grad(loss))(params["decoder"])
    expected = jax.jit(jax.value_and_grad(formula))(params["decoder"])
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


OPTIMIZERS = {
    "adam": optax.adam(0.05),
    "clipped adamw": optax.chain(
        optax.clip_by_global_norm(0.1), optax.adamw(0.05, weight_decay=0.1)
    ),
}


@pytest.mark.parametrize("num_devices", [1, 4], ids=["one device", "pmap 4"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_running_variance_is_the_moving_average_of_the_optimal_one(
    optimizer, num_devices
):
    model, objective = auto_encoder("optimal"), reconstruction()
    state = vaejax.init_state(jax.random.key(0), model, objective, optimizer, X)
    step = functools.partial(vaejax.train_step, model, objective, optimizer)
    if num_devices == 1:
        step = jax.jit(step)
    else:
        mesh = Mesh(np.array(jax.devices()[:num_devices]), ("batch",))
        step = vaejax.parallelize(step, mesh)
    variance, first = 1.0, jax.device_get(state.params["likelihood"]["decoder"])
    for _ in range(3):
        likelihood = jax.device_get(state.params["likelihood"])
        head = jax.device_get(state.params["posterior"]["head"])
        z = np.asarray(X) @ head["kernel"] + head["bias"]
        optimal = ((np.asarray(X) - decoded(likelihood, z)) ** 2).mean()
        variance = 0.99 * variance + 0.01 * optimal
        state, metrics = jax.block_until_ready(step(state, X))
        running = state.params["likelihood"]["moving_average"]["variance"]
        np.testing.assert_allclose(running, variance, rtol=1e-5)
        loss = 3 / 2 * (np.log(2 * np.pi * optimal) + 1)
        np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
    moved = state.params["likelihood"]["decoder"]["head"]["kernel"]
    assert (np.asarray(moved) != first["head"]["kernel"]).all()


def test_every_density_and_draw_uses_the_running_variance():
    params = family("optimal").init(jax.random.key(2), Z)
    params["moving_average"]["variance"] = jnp.float32(0.25)
    p = family("optimal").make(params, Z)
    expected = toy.log_normal(X, decoded(params), 0.5)
    np.testing.assert_allclose(p.log_prob(X), expected, rtol=1e-4)
    draws = p.sample(jax.random.key(4), (3000,)) - decoded(params)
    toy.same_mean(draws**2, np.full((8, 3), 0.25))
    gradient = jax.grad(
        lambda params: family("optimal").make(params, Z).log_prob(X).sum()
    )(params)
    assert gradient["moving_average"]["variance"] == 0


def test_the_optimal_scale_serves_the_elbo_too():
    model = vaejax.latent_variable_model(
        posteriors.diagonal_normal(toy.identity(), 2),
        priors.standard_normal(2),
        family("optimal"),
    )
    params = model.init(jax.random.key(0), X)

    @jax.jit
    @jax.grad
    def gradient(params):
        objective = elbo(num_particles=3)
        return objective.loss(toy.keys(0, 8), model, params, X)[0].mean()

    z = model.encode(params, X).sample(toy.keys(0, 8), (3,))
    loc = decoded(params["likelihood"], z)
    optimal = ((np.asarray(X) - loc) ** 2).mean()
    got = gradient(params)["likelihood"]["moving_average"]["variance"]
    np.testing.assert_allclose(got, 0.01 * (1 - optimal), rtol=1e-4)


@pytest.mark.parametrize("scale", [0, -1.0, float("inf"), float("nan"), "optimum"])
def test_a_scale_that_is_not_positive_or_not_known_is_an_error(scale):
    with pytest.raises(ValueError, match=r"scale must be.*got"):
        family(scale)
