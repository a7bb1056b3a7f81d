"""Whether the code is in use, told by every step at next to no cost."""

import jax
import jax.numpy as jnp

from vaejax.base import (
    ConditionalModel,
    Distribution,
    Key,
    Metrics,
    Model,
    Objective,
    Params,
    X,
)
from vaejax.batch import is_single
from vaejax.distributions import kl_divergence
from vaejax.models import conditioned

SMALL_RATE = 0.05  # nats: below it a posterior is as good as its prior
SMALL_VARIANCE = 0.01  # of a unit's posterior mean; the threshold of Burda et al.
LOC, SQUARE = "posterior_mean", "posterior_mean_square"  # until the batch is known


def watched(objective: Objective) -> Objective:
    r"""The given objective, whose metrics also tell whether the code is in use.

    .. math:: A_u = \mathrm{Var}_x\big(E_{q(z|x)}[z_u]\big),
              \quad \text{active where } A_u > 0.01

    The variance is over the global batch, with 1 / B. The posterior has collapsed in a
    step whose rate is below 0.05 nats, or in which no unit is active; `train_epoch`
    counts such steps in a row (`vaejax.tally`). The posterior is that of the objective,
    which the compiler computes once; the loss and its gradient stay as they are.

    An objective without a rate, such as `reconstruction()`, is returned as it is in
    effect: a code without a prior cannot collapse onto it.

    Args:
      objective: any objective on x, or on `(x, y)` with labels for all; around it go
        `masked` and `denoising`, whose encoder is given something else than x.

    Returns:
      An `Objective` with the loss, metrics and parameters of `objective`. `train_step`
      adds, where its rate is a metric: `collapsed`, 1 or 0; `active_units`, how many
      there are, NaN if the variance of one is, where the posterior has a mean in closed
      form and one layer, and the batch two examples or more; `rate_per_dimension`, nats
      `[D]`, where posterior and prior are products over the dimensions whose divergence
      is known.

    References:
      Burda et al., 2016, https://arxiv.org/abs/1509.00519, section 5.
      Bowman et al., 2016, https://arxiv.org/abs/1511.06349 (the collapse).
    """

    def loss(
        key: Key, model: Model | ConditionalModel, params: Params, x: X
    ) -> tuple[jax.Array, Metrics]:
        value, metrics = objective.loss(key, model, params, x)
        if "rate" in metrics:
            own, batch = conditioned(model, x)
            q, p = own.encode(params, batch), own.prior(params)
            metrics = metrics | _rates(q, p)
            if not is_single(batch):
                metrics |= _moments(q)
        return value, metrics

    return objective._replace(
        loss=loss, summary=lambda metrics: _told(objective.summary(metrics))
    )


def _rates(q: Distribution, p: Distribution) -> Metrics:
    """The rate of each dimension, `[B, D]`, if it is known."""
    try:
        rates = kl_divergence(q.replace(event_ndims=0), p.replace(event_ndims=0))
    except TypeError:  # dimensions that depend on one another, or no closed form
        return {}
    return {"rate_per_dimension": rates.reshape(len(rates), -1)}


def _moments(q: Distribution) -> Metrics:
    """What the variance of each unit's mean is made of, `[B, D]`, if it is known."""
    try:
        loc = q.mean()
    except TypeError:
        return {}
    if not isinstance(loc, jax.Array):  # a hierarchy: active units are those of a layer
        return {}
    loc = loc.reshape(len(loc), -1).astype(float)
    return {LOC: loc, SQUARE: loc**2}


def _told(means: Metrics) -> Metrics:
    """The metrics of a step, of their means over the global batch."""
    told = {name: mean for name, mean in means.items() if name not in (LOC, SQUARE)}
    if "rate" not in told:
        return told
    collapsed = told["rate"] < SMALL_RATE
    if LOC in means:
        variance = means[SQUARE] - means[LOC] ** 2  # [D]
        silent = variance <= SMALL_VARIANCE
        active = jnp.where(jnp.isnan(variance), variance, ~silent)
        told["active_units"] = jnp.sum(active, dtype=float)
        collapsed |= silent.all()
    return told | {"collapsed": collapsed.astype(float)}
