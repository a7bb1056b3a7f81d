"""The losses and gradients of pythae, where it is installed (`make oracles`).

Both sides have the same parameters and the same noise. Where the two differ, the test
shows which one is right by a third computation in numpy.
"""

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


def ours(objective, eps, *, posterior=posteriors.diagonal_normal, prior=None, **kwargs):
    """The objective's mean loss and its gradient, from given noise."""
    model = vaejax.latent_variable_model(
        posterior(networks.mlp(hidden=(9,), activation="tanh"), LATENT),
        (prior or priors.standard_normal)(LATENT),
        kwargs.get("likelihood", likelihoods.bernoulli)(
            networks.mlp(hidden=(9,), activation="tanh"), (EVENT,)
        ),
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
    params = model.init(jax.random.key(0), jnp.asarray(X))

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


def theirs(model, tensors, eps, **kwargs):
    """Their outputs on our batch, from the same noise, and the gradient of `loss`."""
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
    out.loss.backward()
    return out, [None if t.grad is None else t.grad.numpy() for t in tensors]


def same_gradient(mine, their_leaves):
    leaves = jax.tree_util.tree_leaves_with_path(mine)
    for (path, leaf), other in zip(leaves, their_leaves, strict=True):
        np.testing.assert_allclose(
            leaf, other, rtol=1e-4, atol=1e-5, err_msg=jax.tree_util.keystr(path)
        )


BCE = {"reconstruction_loss": "bce"}
SAME = {  # their name, their configuration, our objective
    "VAE": ({}, objectives.elbo()),
    "BetaVAE": ({"beta": 3.0}, objectives.elbo(beta=3.0)),
}


@pytest.mark.parametrize("name", SAME)
def test_loss_and_gradient_are_those_of_pythae(name):
    config, objective = SAME[name]
    eps = noise()
    params, value, grads, _ = ours(objective, eps)
    model, tensors = peer(name, params, **BCE, **config)
    out, their_grads = theirs(model, tensors, eps)
    np.testing.assert_allclose(value, out.loss.item(), rtol=1e-4)
    same_gradient(grads, their_grads)


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


def test_iwae_has_their_gradient_and_they_report_no_bound():
    eps = noise(5)
    params, value, grads, _ = ours(objectives.iwae(num_particles=5), eps)
    model, tensors = peer("IWAE", params, number_samples=5, **BCE)
    out, their_grads = theirs(model, tensors, np.swapaxes(eps, 0, 1).copy())
    same_gradient(grads, their_grads)
    log_w = log_weights(params, eps)
    bound = np.logaddexp.reduce(log_w, axis=0) - np.log(5)
    np.testing.assert_allclose(value, -bound.mean(), rtol=1e-5)
    weights = np.exp(log_w - np.logaddexp.reduce(log_w, axis=0))
    np.testing.assert_allclose(
        out.loss.item(), -(weights * log_w).sum(0).mean(), rtol=1e-4
    )
    assert abs(out.loss.item() + bound.mean()) > 1e-2  # a weighted mean, no bound
