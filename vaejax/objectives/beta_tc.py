"""The ELBO, its rate in three parts: one of them is the total correlation."""

from typing import Literal

import jax
import jax.numpy as jnp
from jax.nn import logsumexp

from vaejax.base import Distribution, Key, Metrics, Model, Objective, Params, X
from vaejax.batch import global_batch, local_rows
from vaejax.checks import check_weights


def weighted(own: jax.Array, num_examples: int) -> jax.Array:
    """The weights of minibatch-weighted sampling, all alike: `[b, B]`."""
    return jnp.full(own.shape, 1 / (num_examples * own.shape[1]))


def stratified(own: jax.Array, num_examples: int) -> jax.Array:
    """Those of minibatch-stratified sampling: an example stands for itself alone."""
    others = (num_examples - 1) / (num_examples * max(own.shape[1] - 1, 1))
    return jnp.where(own, 1 / num_examples, others)


ESTIMATORS = {"weighted": weighted, "stratified": stratified}


def beta_tc(
    *,
    alpha: float = 1.0,
    beta: float = 6.0,
    gamma: float = 1.0,
    num_examples: int,
    estimator: Literal["weighted", "stratified"] = "weighted",
) -> Objective:
    r"""Negative ELBO, the three parts of its rate weighted apart.

    .. math:: -\log p(x|z) + \alpha \log \frac{q(z|x)}{q(z)}
              + \beta \log \frac{q(z)}{\prod_d q(z_d)}
              + \gamma \log \frac{\prod_d q(z_d)}{p(z)}, \quad z \sim q(z|x)

    Here :math:`q(z) = \frac1N \sum_n q(z|x_n)` over the data set, so the terms estimate
    the mutual information of z and the example, the total correlation of z, and the KL
    of each dimension. At `alpha = beta = gamma = 1` all but q(z|x) and p(z) cancels:
    this is `elbo(rate=sampled)`, draw by draw.

    Where z belongs to example i of a batch of M, the densities q(z) and :math:`q(z_d)`
    are :math:`\sum_j w_{ij}\, q(\cdot|x_j)` over the batch. "weighted" takes
    :math:`w_{ij} = 1 / NM`: about log N too small in log q(z), D times that in the
    product, of which the gradient knows nothing. "stratified" takes :math:`w_{ii} =
    1 / N` and otherwise :math:`w_{ij} = (N - 1) / N (M - 1)`: the mean of a density
    over the batches of i is exact, and at M = N it is itself. (The paper gives one of
    the others a smaller weight; this is the mean over which one.)

    Bias in nats for N = 64 posteriors in D = 3 dimensions, mutual information 2.84 and
    total correlation 0.83; the constants of "weighted" are subtracted:

    ==============================  =====  =====  =====  =====  =====
    M                                   4      8     16     32     64
    ==============================  =====  =====  =====  =====  =====
    weighted, log q(z) + log N       1.58   1.03   0.57   0.24   0.00
    stratified, log q(z)            -0.75  -0.50  -0.28  -0.11   0.00
    weighted, TC - (D - 1) log N     0.28   0.37   0.28   0.13   0.00
    stratified, TC                   1.11   0.26   0.01  -0.02   0.00
    ==============================  =====  =====  =====  =====  =====

    Args:
      alpha: weight of the mutual information; may be traced.
      beta: weight of the total correlation; may be traced.
      gamma: weight of the KL of the dimensions; may be traced.
      num_examples: N, the size of the data set.
      estimator: the weights, "weighted" or "stratified".

    Returns:
      An `Objective`: loss `[B]` in nats; metrics `[B]`: `distortion`, `rate`, and its
      parts `mutual_information`, `total_correlation` and `dimension_rate`.

    Raises:
      ValueError: if a Python weight is negative, the estimator unknown, `num_examples`
        less than 1 or, at the first loss, than the batch.
      TypeError: at the first loss, if the dimensions of the posterior have no densities
        of their own: it must be a diagonal one.

    References:
      Chen et al., 2018, https://arxiv.org/abs/1802.04942, equation 4 and the appendix.
    """
    check_weights(alpha=alpha, beta=beta, gamma=gamma)
    if num_examples < 1:
        raise ValueError(f"num_examples must be at least 1, got {num_examples}.")
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator: {' or '.join(ESTIMATORS)}, got {estimator!r}.")

    def loss(key: Key, model: Model, params: Params, x: X) -> tuple[jax.Array, Metrics]:
        posterior, prior = model.encode(params, x), model.prior(params)
        z, log_q = posterior.sample_and_log_prob(key)  # [b, D], [b]
        terms = _terms(global_batch(posterior), z)  # [b, B, D]
        num_batch = terms.shape[1]
        if num_batch > num_examples:
            raise ValueError(
                f"num_examples must be the size of the data set, at least the batch of "
                f"{num_batch}; got {num_examples}."
            )
        own = local_rows(jnp.arange(num_batch))[:, None] == jnp.arange(num_batch)
        log_w = jnp.log(ESTIMATORS[estimator](own, num_examples))  # [b, B]
        joint = logsumexp(log_w + terms.sum(axis=-1), axis=1)  # log q(z): [b]
        product = logsumexp(log_w[..., None] + terms, axis=1).sum(axis=-1)
        log_p = prior.log_prob(z)
        parts = {
            "mutual_information": log_q - joint,
            "total_correlation": joint - product,
            "dimension_rate": product - log_p,
        }
        distortion = model.decode(params, z).distortion(x)
        metrics = {"distortion": distortion, "rate": log_q - log_p, **parts}
        each = zip((alpha, beta, gamma), parts.values(), strict=True)
        return distortion + sum(weight * part for weight, part in each), metrics

    return Objective(loss)


def _terms(posteriors: Distribution, z: jax.Array) -> jax.Array:
    """Unsummed log q(z_d | x_j) of every z under every posterior: `[b, B, D]`."""
    try:
        apart = posteriors.replace(event_ndims=0)
    except TypeError as error:
        raise TypeError(
            f"beta_tc needs the density of every dimension, which {type(posteriors)} "
            "does not have: use a diagonal posterior, such as diagonal_normal."
        ) from error
    return apart.log_prob(z[:, None])
