"""A linear VAE learns what probabilistic principal component analysis solves."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.stats

import vaejax
from tests import toy
from vaejax import likelihoods, networks, posteriors, priors
from vaejax.objectives import elbo

NUM, EVENT, LATENT = 512, 6, 2


def maximum_log_likelihood(x: np.ndarray, latent_dim: int) -> float:
    r"""The maximum over W, b and sigma of the mean of log p(x), in nats.

    At the maximum sigma^2 is the mean of the discarded eigenvalues of the sample
    covariance S and the model's covariance C keeps the others, so tr(C^-1 S) = P:

    .. math:: -\frac12 (P \log 2\pi + \log|C| + P)

    Tipping and Bishop, 1999, J. R. Statist. Soc. B 61:611; the log likelihood is
    equation 12.44 of Bishop, 2006, Pattern Recognition and Machine Learning.
    """
    eigenvalues = np.linalg.eigvalsh(np.cov(x.T, bias=True))[::-1]
    noise = eigenvalues[latent_dim:].mean()
    log_det = np.log(eigenvalues[:latent_dim]).sum()
    log_det += (len(eigenvalues) - latent_dim) * np.log(noise)
    return -0.5 * (len(eigenvalues) * (np.log(2 * np.pi) + 1) + log_det)


def test_a_trained_linear_vae_reaches_the_maximum_likelihood_in_closed_form():
    exact = toy.linear_gaussian(LATENT, EVENT)
    x = exact.draw(NUM)
    affine = networks.mlp(hidden=())
    model = vaejax.latent_variable_model(
        posteriors.diagonal_normal(affine, LATENT),
        priors.standard_normal(LATENT),
        likelihoods.normal(affine, (EVENT,), scale="learned"),
    )
    batch, num_epochs = 128, 500
    schedule = optax.cosine_decay_schedule(2e-2, num_epochs * NUM // batch)
    objective, optimizer = elbo(), optax.adam(schedule)
    state = vaejax.init_state(jax.random.key(0), model, objective, optimizer, x[:batch])
    step = functools.partial(vaejax.train_step, model, objective, optimizer)
    epoch = functools.partial(vaejax.train_epoch, step, batch, data=x)
    state = jax.jit(
        lambda state: jax.lax.fori_loop(
            0, num_epochs, lambda _, state: epoch(state)[0], state
        )
    )(state)

    best = maximum_log_likelihood(np.asarray(x, float), LATENT)
    params = jax.device_get(state.params)
    head = params["likelihood"]["decoder"]["head"]
    noise = float(model.decode(params, jnp.zeros((1, LATENT))).scale)
    cov = head["kernel"].T @ head["kernel"] + noise**2 * np.eye(EVENT)
    learned = scipy.stats.multivariate_normal(head["bias"], cov).logpdf(x).mean()

    @jax.jit
    @jax.vmap
    def bound(key):
        keys = jax.random.split(key, NUM)
        return -objective.loss(keys, model, params, x)[0].mean()

    reached = np.asarray(bound(toy.keys(1, 100)))
    print(f"maximum {best:.3f}, log p(x) {learned:.3f}, bound {reached.mean():.3f}")
    assert learned < best + 1e-4  # nothing beats the maximum, or its formula is wrong
    assert learned > best - 0.1
    assert reached.mean() > best - 0.1
    # The data's own parameters are worse than the maximum: the test is about fitting.
    assert exact.log_prob(x).mean() < best
