"""Same numbers as PyTorch and numpyro, where they are installed (`make oracles`)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vaejax
from vaejax import (
    distributions,
    likelihoods,
    networks,
    objectives,
    posteriors,
    priors,
)
from vaejax.distributions import Bernoulli, Normal, kl_divergence

pytestmark = [pytest.mark.oracle, pytest.mark.slow]

X = np.random.default_rng(0).random((7, 12)) < 0.4


def setting():
    small = networks.mlp(hidden=(9,), activation="tanh")
    model = vaejax.latent_variable_model(
        posteriors.diagonal_normal(small, 3),
        priors.standard_normal(3),
        likelihoods.bernoulli(small, (12,)),
    )
    return model, model.init(jax.random.key(0), X)


def test_the_elbo_and_its_gradient_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    model, params = setting()
    keys = jax.random.split(jax.random.key(1), len(X))
    posterior = model.encode(params, X)
    z = posterior.sample(jax.random.clone(keys), (1,))[0]
    eps = torch.tensor(np.asarray((z - posterior.loc) / posterior.scale))

    def ours(params):
        loss, _ = objectives.elbo(beta=2.0).loss(
            jax.random.clone(keys), model, params, X
        )
        return loss.mean()

    value, grads = jax.value_and_grad(ours)(params)
    leaves, tree = jax.tree.flatten(params)
    theirs = [torch.tensor(np.asarray(leaf), requires_grad=True) for leaf in leaves]
    p = jax.tree.unflatten(tree, theirs)

    def network(part, h):
        layer = part["network"]["params"]["dense_0"]
        h = torch.tanh(h @ layer["kernel"] + layer["bias"])
        return h @ part["head"]["kernel"] + part["head"]["bias"]

    x = torch.tensor(X, dtype=torch.float32)
    loc, raw = network(p["posterior"], x).chunk(2, dim=1)
    q = torch.distributions.Normal(loc, torch.exp(7 * torch.tanh(raw / 14)))
    prior = torch.distributions.Normal(torch.zeros(3), torch.ones(3))
    rate = torch.distributions.kl_divergence(q, prior).sum(1)
    logits = network(p["likelihood"], loc + q.scale * eps)
    log_p = torch.distributions.Bernoulli(logits=logits).log_prob(x).sum(1)
    loss = (2.0 * rate - log_p).mean()
    loss.backward()
    np.testing.assert_allclose(value, loss.item(), rtol=1e-5)
    for ours_leaf, their_leaf in zip(jax.tree.leaves(grads), theirs, strict=True):
        np.testing.assert_allclose(ours_leaf, their_leaf.grad, rtol=1e-4, atol=1e-6)


def test_densities_and_divergences_are_those_of_numpyro():
    peer = pytest.importorskip("numpyro.distributions")
    rng = np.random.default_rng(2)
    loc, other = rng.normal(size=(2, 5, 3)).astype(np.float32)
    scale, wide = rng.uniform(0.1, 3, size=(2, 5, 3)).astype(np.float32)
    value = rng.normal(size=(5, 3)).astype(np.float32)
    theirs = peer.Normal(loc, scale).to_event(1)
    q, p = Normal(loc, scale), Normal(other, wide)
    np.testing.assert_allclose(q.log_prob(value), theirs.log_prob(value), rtol=1e-5)
    their_kl = peer.kl.kl_divergence(theirs, peer.Normal(other, wide).to_event(1))
    np.testing.assert_allclose(kl_divergence(q, p), their_kl, rtol=1e-4, atol=1e-6)
    flips = jnp.asarray(value > 0, jnp.float32)
    their_flips = peer.Bernoulli(logits=loc).to_event(1)
    np.testing.assert_allclose(
        Bernoulli(loc).log_prob(flips), their_flips.log_prob(flips), rtol=1e-5
    )


def test_the_importance_weighted_bound_is_that_of_numpyro():
    pytest.importorskip("numpyro")
    import numpyro
    from numpyro.infer import RenyiELBO

    model, params = setting()

    def guide(x):
        q = model.encode(params, x)
        with numpyro.plate("examples", len(x)):
            scaled = numpyro.distributions.Normal(q.loc, q.scale).to_event(1)
            numpyro.sample("z", scaled)

    def joint(x):
        with numpyro.plate("examples", len(x)):
            normal = numpyro.distributions.Normal(jnp.zeros((len(x), 3)), 1.0)
            z = numpyro.sample("z", normal.to_event(1))
            logits = model.decode(params, z).logits
            flips = numpyro.distributions.Bernoulli(logits=logits).to_event(1)
            numpyro.sample("x", flips, obs=x.astype(jnp.float32))

    one = X[:1]  # numpyro's bound is on the log-probability of the batch as a whole
    num = 20_000
    theirs = RenyiELBO(alpha=0.0, num_particles=num).loss(
        jax.random.key(1), {}, joint, guide, one
    )
    ours, metrics = vaejax.evaluate.log_likelihood(
        jax.random.key(2), model, params, one, num
    )
    error = 6 * float(metrics["monte_carlo_error"][0]) * 2**0.5
    np.testing.assert_allclose(-theirs, ours[0], atol=error)
    assert error < 0.1


RNG = np.random.default_rng(3)
LOC = RNG.normal(size=(5, 3)).astype(np.float32)
SCALE = RNG.uniform(0.1, 3, size=(5, 3)).astype(np.float32)
REAL = RNG.normal(size=(5, 3)).astype(np.float32) * 3
COUNTS = RNG.integers(0, 17, size=(5, 3)).astype(np.float32)
LOGITS = RNG.normal(size=(5, 3, 17)).astype(np.float32)
RATE = 9 * SCALE
PAIRS = {  # ours, theirs of `numpyro.distributions`, and a value
    "laplace": (
        distributions.Laplace(LOC, SCALE),
        lambda peer: peer.Laplace(LOC, SCALE),
        REAL,
    ),
    "student t": (
        distributions.StudentT(LOC, SCALE, 1 + SCALE),
        lambda peer: peer.StudentT(1 + SCALE, LOC, SCALE),
        REAL,
    ),
    "categorical": (
        distributions.Categorical(jnp.asarray(LOGITS)),
        lambda peer: peer.Categorical(logits=LOGITS),
        COUNTS,
    ),
    "beta-binomial": (
        distributions.BetaBinomial(jnp.asarray(RATE), jnp.asarray(SCALE), 16),
        lambda peer: peer.BetaBinomial(RATE, SCALE, 16),
        COUNTS,
    ),
    "poisson": (
        distributions.Poisson(jnp.asarray(RATE)),
        lambda peer: peer.Poisson(RATE),
        COUNTS,
    ),
    "negative binomial": (
        distributions.NegativeBinomial(jnp.asarray(RATE), SCALE),
        lambda peer: peer.NegativeBinomial2(RATE, SCALE),
        COUNTS,
    ),
    "zero-inflated": (
        distributions.ZeroInflatedNegativeBinomial(jnp.asarray(RATE), SCALE, LOC),
        lambda peer: peer.ZeroInflatedNegativeBinomial2(RATE, SCALE, gate_logits=LOC),
        COUNTS * (COUNTS > 6),
    ),
}


@pytest.mark.parametrize(("ours", "theirs", "value"), PAIRS.values(), ids=PAIRS)
def test_likelihoods_have_the_densities_and_means_of_numpyro(ours, theirs, value):
    peer = theirs(pytest.importorskip("numpyro.distributions"))
    integers = value if ours.support == "real" else value.astype(int)
    expected = peer.log_prob(integers).sum(axis=-1)
    np.testing.assert_allclose(ours.log_prob(value), expected, rtol=1e-4)
    if not isinstance(ours, distributions.Categorical):  # theirs has no mean
        np.testing.assert_allclose(ours.mean(), peer.mean, rtol=1e-4)


def test_the_continuous_bernoulli_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    logits, x = 3 * LOC, RNG.uniform(size=(5, 3)).astype(np.float32)
    theirs = torch.distributions.ContinuousBernoulli(logits=torch.tensor(logits))
    ours = distributions.ContinuousBernoulli(jnp.asarray(logits), event_ndims=0)
    expected = theirs.log_prob(torch.tensor(x))
    np.testing.assert_allclose(ours.log_prob(x), expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(ours.mean(), theirs.mean, rtol=1e-3)
