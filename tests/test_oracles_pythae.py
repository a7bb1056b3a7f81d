"""The losses and gradients of pythae, where it is installed (`make oracles`).

Both sides have the same parameters and the same noise. Where the two differ, the test
shows which one is right by a third computation in numpy.
"""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

import vaejax
from tests import toy
from vaejax import likelihoods, networks, objectives, posteriors, priors
from vaejax.distributions import Normal

pytestmark = [pytest.mark.oracle, pytest.mark.slow]

BATCH, EVENT, LATENT = 7, 12, 3
RNG = np.random.default_rng(0)
X = (RNG.random((BATCH, EVENT)) < 0.4).astype(np.float32)
PRIOR_DRAWS = RNG.normal(size=(BATCH, LATENT)).astype(np.float32)


@struct.dataclass
class Injected(Normal):
    """A normal whose noise is given: `eps [K, B, D]`, or `[B, D]` for one draw."""

    eps: Any = None

    def sample(self, key, sample_shape=()):
        """The draws that this noise makes."""
        assert np.prod(sample_shape, initial=1) * BATCH * LATENT == self.eps.size
        shape = (*sample_shape, BATCH, LATENT)
        return self.loc + self.scale * self.eps.reshape(shape)


def ours(
    objective,
    eps,
    *,
    posterior=posteriors.diagonal_normal,
    prior=priors.standard_normal,
    likelihood=likelihoods.bernoulli,
    change=lambda params: params,
):
    """Parameters, the mean loss, its gradient and the metrics, from given noise."""
    network = networks.mlp(hidden=(9,), activation="tanh")
    model = vaejax.latent_variable_model(
        posterior(network, LATENT), prior(LATENT), likelihood(network, (EVENT,))
    )

    def encode(params, x):
        q = model.encode(params, x)
        if not isinstance(q, Normal) or len(x) != BATCH:  # a point, or pseudo-inputs
            return q
        return Injected(q.loc, q.scale, eps=jnp.asarray(eps))

    def prior_of(params):
        p = model.prior(params)
        if not isinstance(p, Normal):
            return p
        return Injected(p.loc, p.scale, eps=jnp.asarray(PRIOR_DRAWS))

    injected = model._replace(encode=encode, prior=prior_of)
    params = change(model.init(jax.random.key(0), jnp.asarray(X)))

    def mean(params):
        loss, metrics = objective.loss(toy.keys(1, BATCH), injected, params, X)
        return loss.mean(), metrics

    (value, metrics), grads = jax.value_and_grad(mean, has_aux=True)(params)
    return params, float(value), grads, metrics


def noise(num=1):
    """Noise of K particles, `[K, B, D]`."""
    return np.random.default_rng(1).normal(size=(num, BATCH, LATENT)).astype(np.float32)


def peer(name, params, **config):
    """Their model of this name with our parameters, and these as leaves of torch."""
    torch = pytest.importorskip("torch")
    models = pytest.importorskip("pythae.models")
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    leaves, tree = jax.tree.flatten(params)
    tensors = [torch.tensor(np.asarray(leaf), requires_grad=True) for leaf in leaves]
    p = jax.tree.unflatten(tree, tensors)
    likelihood = p["likelihood"].get("decoder", p["likelihood"])

    def features(part, h):
        layer = part["network"]["params"]["dense_0"]
        h = torch.tanh(h @ layer["kernel"] + layer["bias"])
        return h @ part["head"]["kernel"] + part["head"]["bias"]

    class Encoder(BaseEncoder):
        def forward(self, x):
            out = features(p["posterior"], x)
            if out.shape[1] == LATENT:  # a point
                return ModelOutput(embedding=out)
            loc, raw = out.chunk(2, dim=1)
            return ModelOutput(embedding=loc, log_covariance=14 * torch.tanh(raw / 14))

    class Decoder(BaseDecoder):
        def forward(self, z):
            out = features(likelihood, z)
            if config.get("reconstruction_loss") == "bce":
                out = torch.sigmoid(out)
            return ModelOutput(reconstruction=out)

    kind = getattr(models, name)
    config_kind = getattr(models, f"{name}_Config", None) or getattr(
        models, f"{name}Config"
    )
    model = kind(
        config_kind(input_dim=(EVENT,), latent_dim=LATENT, **config),
        encoder=Encoder(),
        decoder=Decoder(),
    )
    return model, tensors


def theirs(model, tensors, eps, of="loss", **kwargs):
    """Their outputs on our batch, from the same noise, and the gradient of one."""
    import torch

    model._sample_gauss = lambda mu, std: (
        mu + std * torch.tensor(eps).reshape(mu.shape),
        None,
    )
    randn = torch.randn_like
    torch.randn_like = lambda *args, **kwargs: torch.tensor(PRIOR_DRAWS)
    try:
        out = model({"data": torch.tensor(X)}, **kwargs)
    finally:
        torch.randn_like = randn
    getattr(out, of).backward()
    return out, [None if t.grad is None else t.grad.numpy() for t in tensors]


def same_gradient(mine, their_leaves):
    leaves = jax.tree_util.tree_leaves_with_path(mine)
    for (path, leaf), other in zip(leaves, their_leaves, strict=True):
        np.testing.assert_allclose(
            leaf, other, rtol=1e-4, atol=1e-5, err_msg=jax.tree_util.keystr(path)
        )


BCE = {"reconstruction_loss": "bce"}
SAME = {  # our objective; their configuration and arguments
    "VAE": (objectives.elbo(), {}, {}),
    "BetaVAE": (objectives.elbo(beta=3.0), {"beta": 3.0}, {}),
    "DisentangledBetaVAE": (  # theirs compares each example's rate to C
        objectives.capacity(gamma=3.0, capacity=2.0, per="example"),
        {"beta": 3.0, "C": 2.0},
        {"epoch": 1000},
    ),
    "BetaTCVAE": (
        objectives.beta_tc(alpha=0.7, beta=3.0, gamma=1.5, num_examples=100),
        {"alpha": 0.7, "beta": 3.0, "gamma": 1.5, "use_mss": False},
        {"dataset_size": 100},
    ),
    "INFOVAE_MMD": (
        objectives.info_mmd(alpha=0.2, scaling=5.0),
        {"alpha": 0.2, "lbd": 5.0, "kernel_choice": "rbf"},
        {},
    ),
    "INFOVAE_MMD, inverse multiquadratic": (
        objectives.info_mmd(
            alpha=0.2, scaling=5.0, kernel="inverse_multiquadratic", scales=(0.5, 2.0)
        ),
        {"alpha": 0.2, "lbd": 5.0, "kernel_choice": "imq", "scales": [0.5, 2.0]},
        {},
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_loss_and_gradient_are_those_of_pythae(name):
    objective, config, kwargs = SAME[name]
    eps = noise()
    params, value, grads, _ = ours(objective, eps)
    model, tensors = peer(name.split(",")[0], params, **BCE, **config)
    out, their_grads = theirs(model, tensors, eps, **kwargs)
    np.testing.assert_allclose(value, out.loss.item(), rtol=1e-4)
    same_gradient(grads, their_grads)


# The squared error that they sum is the distortion of this scale, up to a constant.
squared = functools.partial(likelihoods.normal, scale=0.5**0.5)
CONSTANT = 0.5 * np.log(np.pi) * EVENT
POINTS = {
    "WAE_MMD": (
        objectives.wae_mmd(weight=5.0, scales=(0.5, 2.0)),
        {"reg_weight": 5.0, "scales": [0.5, 2.0]},
    ),
    "WAE_MMD, rbf": (
        objectives.wae_mmd(weight=5.0, kernel="rbf"),
        {"reg_weight": 5.0, "kernel_choice": "rbf"},
    ),
    "RAE_L2": (  # their penalty of the decoder is its optimizer's weight decay
        objectives.regularized(code_weight=0.3, decoder_weight=0.0),
        {"embedding_weight": 0.3},
    ),
    "AE": (objectives.reconstruction(), {}),
}


@pytest.mark.parametrize("name", POINTS)
def test_auto_encoders_have_the_loss_and_gradient_of_pythae(name):
    objective, config = POINTS[name]
    params, value, grads, _ = ours(
        objective, None, posterior=posteriors.point_mass, likelihood=squared
    )
    model, tensors = peer(name.split(",")[0], params, **config)
    out, their_grads = theirs(model, tensors, None)
    np.testing.assert_allclose(value - CONSTANT, out.loss.item(), rtol=1e-4)
    same_gradient(grads, their_grads)


def test_the_vamp_prior_has_the_loss_and_gradient_of_pythae():
    torch = pytest.importorskip("torch")
    eps = noise()
    vamp = functools.partial(priors.vamp, num_components=4)
    objective = objectives.elbo(rate=vaejax.rates.sampled)

    def within(params):  # theirs cuts pseudo-inputs to [0, 1]
        return params | {"prior": jax.tree.map(jax.nn.sigmoid, params["prior"])}

    params, value, grads, _ = ours(objective, eps, prior=vamp, change=within)
    model, tensors = peer("VAMP", params, number_components=4, **BCE)
    inputs = np.asarray(params["prior"]["pseudo_inputs"])
    with torch.no_grad():
        model.pseudo_inputs[0].weight.copy_(torch.tensor(inputs.T))
        model.pseudo_inputs[0].bias.zero_()
    out, their_grads = theirs(model, tensors, eps)
    np.testing.assert_allclose(value, out.loss.item(), rtol=1e-4)
    at = [path[0].key == "prior" for path, _ in jax.tree.leaves_with_path(grads)]
    weight = model.pseudo_inputs[0].weight.grad.numpy().T
    assert sum(at) == 1
    same_gradient(
        grads, [weight if own else g for own, g in zip(at, their_grads, strict=True)]
    )


def log_weights(params, eps):
    """The log weights `[K, B]`, in numpy in float64."""

    def features(part, h):
        layer = part["network"]["params"]["dense_0"]
        h = np.tanh(h @ np.float64(layer["kernel"]) + np.float64(layer["bias"]))
        return h @ np.float64(part["head"]["kernel"]) + np.float64(part["head"]["bias"])

    loc, raw = np.split(features(params["posterior"], X), 2, axis=-1)
    scale = np.exp(7 * np.tanh(raw / 14))
    z = loc + scale * eps
    logits = features(params["likelihood"], z)
    log_x = (X * logits - np.logaddexp(0, logits)).sum(-1)
    return log_x + toy.log_normal(z, 0.0, 1.0) - toy.log_normal(z, loc, scale)


def their_noise(eps):
    """Noise `[K, B, D]` in the order of their particles, `[B, K, D]`."""
    return np.swapaxes(eps, 0, 1).copy()


def test_iwae_has_their_gradient_and_they_report_no_bound():
    eps = noise(5)
    params, value, grads, _ = ours(objectives.iwae(num_particles=5), eps)
    model, tensors = peer("IWAE", params, number_samples=5, **BCE)
    out, their_grads = theirs(model, tensors, their_noise(eps))
    same_gradient(grads, their_grads)
    log_w = log_weights(params, eps)
    bound = np.logaddexp.reduce(log_w, axis=0) - np.log(5)
    np.testing.assert_allclose(value, -bound.mean(), rtol=1e-5)
    weights = np.exp(log_w - np.logaddexp.reduce(log_w, axis=0))
    np.testing.assert_allclose(
        out.loss.item(), -(weights * log_w).sum(0).mean(), rtol=1e-4
    )
    assert abs(out.loss.item() + bound.mean()) > 1e-2  # a weighted mean, no bound


def test_ciwae_has_their_gradient():
    eps = noise(5)
    objective = objectives.ciwae(num_particles=5, beta=0.3)
    params, value, grads, _ = ours(objective, eps)
    model, tensors = peer("CIWAE", params, number_samples=5, beta=0.3, **BCE)
    _, their_grads = theirs(model, tensors, their_noise(eps))
    same_gradient(grads, their_grads)
    log_w = log_weights(params, eps)
    bound = np.logaddexp.reduce(log_w, axis=0) - np.log(5)
    expected = -0.3 * log_w.mean() - 0.7 * bound.mean()
    np.testing.assert_allclose(value, expected, rtol=1e-5)


NUM_BOUNDS, NUM_PARTICLES = 2, 3


def transposed():
    """Noise for our 2 bounds of 3 particles, and the same for theirs.

    They normalise the weights over the axis of the bounds, not of the particles: what
    they call 3 estimates of 2 samples are 2 bounds of 3 particles.
    """
    eps = noise(NUM_BOUNDS * NUM_PARTICLES)
    groups = eps.reshape(NUM_BOUNDS, NUM_PARTICLES, BATCH, LATENT)
    config = {
        "number_gradient_estimates": NUM_PARTICLES,
        "number_samples": NUM_BOUNDS,
    }
    return eps, np.transpose(groups, (2, 1, 0, 3)).copy(), config | BCE


def test_miwae_has_their_gradient_once_their_swapped_axes_are_swapped_back():
    eps, other, config = transposed()
    objective = objectives.miwae(num_particles=NUM_PARTICLES, num_bounds=NUM_BOUNDS)
    params, value, grads, _ = ours(objective, eps)
    model, tensors = peer("MIWAE", params, **config)
    _, their_grads = theirs(model, tensors, other)
    same_gradient(grads, their_grads)
    groups = log_weights(params, eps).reshape(NUM_BOUNDS, NUM_PARTICLES, BATCH)
    bounds = np.logaddexp.reduce(groups, axis=1) - np.log(NUM_PARTICLES)
    np.testing.assert_allclose(value, -bounds.mean(), rtol=1e-5)


@pytest.mark.parametrize(
    ("part", "their_loss"),
    [("likelihood", "decoder_loss"), ("posterior", "encoder_loss")],
)
def test_piwae_has_the_gradient_that_theirs_gives_each_part(part, their_loss):
    eps, other, config = transposed()
    objective = objectives.piwae(num_particles=NUM_PARTICLES, num_bounds=NUM_BOUNDS)
    params, value, grads, _ = ours(objective, eps)
    model, tensors = peer("PIWAE", params, **config)
    _, their_grads = theirs(model, tensors, other, of=their_loss)
    own = [path[0].key == part for path, _ in jax.tree.leaves_with_path(grads)]
    chosen = [g for is_own, g in zip(own, their_grads, strict=True) if is_own]
    same_gradient(grads[part], chosen)
    log_w = log_weights(params, eps)
    bound = np.logaddexp.reduce(log_w, axis=0) - np.log(len(eps))
    np.testing.assert_allclose(value, -bound.mean(), rtol=1e-5)


def test_their_stratified_weights_miss_the_diagonal_and_ours_average_to_q_of_z():
    pytest.importorskip("pythae")
    from pythae.models import BetaTCVAE

    from vaejax.objectives.beta_tc import stratified

    num, batch = 5, 3
    density = RNG.random(num)  # q(z|x_n) of one z, from example 0
    exact = density.mean()
    mine = np.asarray(stratified(jnp.eye(batch, dtype=bool), num))
    weights = BetaTCVAE._log_importance_weight_matrix(None, batch, num).exp().numpy()
    for row in range(batch):  # the place of example 0 in the batch
        estimates = {"mine": [], "theirs": []}
        for others in itertools.permutations(range(1, num), batch - 1):
            members = [*others[:row], 0, *others[row:]]
            estimates["mine"].append(mine[row] @ density[members])
            estimates["theirs"].append(weights[row] @ density[members])
        np.testing.assert_allclose(np.mean(estimates["mine"]), exact, rtol=1e-6)
        right = np.isclose(np.mean(estimates["theirs"]), exact, rtol=1e-6)
        assert right == (row == 0)


def test_their_gradient_penalty_is_not_that_of_the_decoder_and_ours_is():
    objective = objectives.regularized(
        kind="gradient_penalty", code_weight=0.0, decoder_weight=1.0
    )
    params, *_ = ours(
        objective, None, posterior=posteriors.point_mass, likelihood=squared
    )
    model, tensors = peer("RAE_GP", params, embedding_weight=0.0, reg_weight=1.0)
    out, _ = theirs(model, tensors, None)

    def network(part, h):
        layer = part["network"]["params"]["dense_0"]
        h = jnp.tanh(h @ layer["kernel"] + layer["bias"])
        return h @ part["head"]["kernel"] + part["head"]["bias"]

    decoder = functools.partial(network, params["likelihood"]["decoder"])
    codes = network(params["posterior"], X)
    exact = np.sum(np.square(jax.vmap(jax.jacobian(decoder))(codes)), axis=(1, 2))
    small = networks.mlp(hidden=(9,), activation="tanh")
    model_of_ours = vaejax.latent_variable_model(
        posteriors.point_mass(small, LATENT),
        priors.standard_normal(LATENT),
        squared(small, (EVENT,)),
    )

    def penalty(key):
        keys = jax.random.split(key, BATCH)
        return objective.loss(keys, model_of_ours, params, X)[1]["regularizer"]

    draws = jax.jit(jax.vmap(penalty))(toy.keys(3, 500))
    toy.same_mean(draws, exact)

    def whole(x):  # theirs: of the sum of all pixels, with respect to the image
        return network(params["likelihood"]["decoder"], network(params["posterior"], x))

    summed = jax.vmap(jax.grad(lambda x: whole(x).sum()))(X)
    np.testing.assert_allclose(
        out.gen_reg_loss.item(), np.square(summed).sum(1).mean(), rtol=1e-4
    )
