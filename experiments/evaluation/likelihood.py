"""How likely held-out images are, and where their ELBO goes."""

import math
from functools import partial
from typing import Any

import jax
import numpy as np

from experiments.evaluation.subject import NotMeasuredError, Subject, ask, number
from experiments.scoring import error, mean, root_keys
from vaejax import evaluate
from vaejax.base import Key

MAX_K = 0.7  # of Pareto, above which importance weights are not to be trusted
NUM_DRAWS = 16  # for each image of the decomposition
NUM_GAP = 16  # images whose best posterior is sought
DISCRETE = ("binary", "levels", "counts")


def distortion(key: Key, subject: Subject) -> dict[str, Any]:
    """-E log p(x|z), which every model has."""
    x = subject.held_out.x
    values = evaluate.distortion(key, subject.model, subject.params, x, NUM_DRAWS)
    return {"distortion": number(mean(values), error(values))}


def likelihood(key: Key, subject: Subject) -> dict[str, Any]:
    """The ELBO and log p(x), the same estimates as `evaluate` prints without --all."""
    del key
    check_likelihood(subject)
    x, num = subject.held_out.x, subject.num_particles
    _, _, key, *_ = root_keys(subject.seed)
    log_p, terms = ask(
        lambda key, params, x: evaluate.log_likelihood(
            key, subject.model, params, x, num
        ),
        key,
        subject.params,
        x,
    )
    k = np.asarray(terms["pareto_k"])
    bad = float((k > MAX_K).mean())
    monte_carlo = float(np.sqrt((np.asarray(terms["monte_carlo_error"]) ** 2).sum()))
    values: dict[str, Any] = {
        name: number(mean(terms[name]), error(terms[name]))
        for name in ("elbo", "distortion", "rate")
    }
    return values | {
        "log_likelihood": number(mean(log_p), error(log_p)),
        "monte_carlo_error": monte_carlo / len(x),
        "effective_sample_size": float(np.median(terms["effective_sample_size"])),
        "pareto_k_above_0.7": None
        if np.isnan(k).any()
        else number(bad, math.sqrt(bad * (1 - bad) / len(k))),
        "bits_per_dimension": _bits(subject, log_p),
    }


def _bits(subject: Subject, log_p: jax.Array) -> dict[str, Any] | None:
    """Of probabilities only: a density has no bits until its unit is chosen."""
    if subject.support not in DISCRETE:
        return None
    bits = evaluate.bits_per_dimension(log_p, subject.held_out.x.shape[1:])
    return number(mean(bits), error(bits))


def decomposition(key: Key, subject: Subject) -> dict[str, Any]:
    """Distortion, mutual information and marginal KL."""
    check_likelihood(subject)
    parts = ask(
        lambda key, params, x: evaluate.elbo_decomposition(
            key, subject.model, params, x, NUM_DRAWS
        ),
        key,
        subject.params,
        subject.held_out.x,
    )
    return {n: number(v, parts.standard_error[n]) for n, v in parts.mean.items()}


def inference_gap(key: Key, subject: Subject) -> dict[str, Any]:
    """The means over a few images; the errors are those over the images."""
    check_likelihood(subject)
    gap = ask(
        partial(_gap, subject),
        key,
        subject.params,
        subject.held_out.x[:NUM_GAP],
    )
    names = ("amortization_gap", "approximation_gap", "inference_gap")
    return {n: number(mean(gap.estimate[n]), error(gap.estimate[n])) for n in names} | {
        "num_images": len(gap.estimate["elbo"])
    }


def _gap(
    subject: Subject, key: Key, params: Any, x: jax.Array
) -> evaluate.gap.InferenceGap:
    return evaluate.inference_gap(
        key, subject.model, params, x, num_steps=300, images=NUM_GAP
    )


def check_likelihood(subject: Subject) -> None:
    """Raises NotMeasuredError where `log_prob` of the images is no log-likelihood."""
    if not subject.is_likelihood:
        raise NotMeasuredError(
            "These images take values that the likelihood gives no probability to, as "
            "grey ones under a Bernoulli likelihood: what it says of them is a loss."
        )
