"""What latent dimensions carry, whether q(z|x) is right, and what its axes mean."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.encode import posterior_moments
from experiments.evaluation.subject import (
    Images,
    NotMeasuredError,
    Subject,
    ask,
    number,
)
from experiments.workdir import Run
from vaejax import evaluate
from vaejax.base import Key
from vaejax.data import factor_values, render, sprites
from vaejax.data.sprites import split_factors
from vaejax.evaluate.structure import GROUPS

MIN_CODES = 2 * GROUPS  # that the errors of the structure need
NUM_POINTS = 300  # to train and to judge a score of interventions
NUM_EACH = 32  # examples in a point


def rates(key: Key, subject: Subject) -> dict[str, Any]:
    """The KL of every dimension."""
    del key
    model = subject.model
    got = ask(
        lambda params, x: evaluate.rate_per_dimension(model, params, x),
        subject.params,
        subject.held_out.x,
    )
    return {"rate_per_dimension": number(got.mean, got.standard_error)}


def active_units(key: Key, subject: Subject) -> dict[str, Any]:
    """How far the mean of every dimension moves with x."""
    del key
    model = subject.model
    got = ask(
        lambda params, x: evaluate.active_units(model, params, x),
        subject.params,
        subject.held_out.x,
    )
    return {
        "num_active": int(got.num_active),
        "num_dimensions": len(got.variance),
        "variance": number(got.variance, got.standard_error),
    }


def calibration(key: Key, subject: Subject) -> dict[str, Any]:
    """Ranks of codes drawn from the prior among draws of q(z|x)."""
    check_prior(subject)
    model = subject.model
    got = ask(
        lambda key, params: evaluate.simulation_based_calibration(key, model, params),
        key,
        subject.params,
    )
    return {
        "p_value": np.asarray(got.p_value).tolist(),
        "smallest_p_value_corrected": min(
            1.0, float(got.p_value.min()) * len(got.p_value)
        ),
        "chi_square": np.asarray(got.chi_square).tolist(),
        "histogram": np.asarray(got.histogram).tolist(),
    }


def structure(key: Key, subject: Subject) -> dict[str, Any]:
    """How well codes tell the classes apart, on codes that nothing was fitted to."""
    del key
    train, new = subject.train, subject.held_out
    if train.label is None or new.label is None:
        raise NotMeasuredError("The images have no labels.")
    known = np.flatnonzero(train.label >= 0)
    asked = np.flatnonzero(np.isin(new.label, train.label[known]) & (new.label >= 0))
    if len(asked) < MIN_CODES or len(np.unique(new.label[asked])) < 2:
        raise NotMeasuredError(
            f"It needs {MIN_CODES} held-out images with labels, of 2 classes or more; "
            f"there are {len(asked)}."
        )
    got = evaluate.latent_structure(
        posterior_moments(subject.run, train.x[known])[0],
        train.label[known],
        posterior_moments(subject.run, new.x[asked])[0],
        new.label[asked],
        num_neighbors=min(10, len(known)),
    )
    return {n: number(v, got.standard_error[n]) for n, v in got.value.items()}


def disentanglement(key: Key, subject: Subject) -> dict[str, Any]:
    """Scores of the codes of held-out images, and of images drawn for the purpose."""
    scores = factor_scores(key, subject.run, subject.name, subject.held_out)
    return {n: number(score.value, score.error) for n, score in scores.items()}


def factor_scores(
    key: Key, run: Run, name: str, images: Images
) -> dict[str, evaluate.disentanglement.Score]:
    """What the codes of sprites know of the factors that made them.

    Args:
      key: of the images drawn for the purpose.
      run: whose codes.
      name: of the images.
      images: of the test split.

    Raises:
      NotMeasuredError: if they are no sprites.
    """
    if re.fullmatch(r"sprites(:\d+)?( \(test\))?", name) is None:
        raise NotMeasuredError(
            "The factors that made these images are not known; those of sprites are."
        )
    factors, size = sprites(), images.x.shape[1]
    places = split_factors(factors)["test"][images.rows]
    codes, _ = posterior_moments(run, images.x)
    importance = evaluate.dci(codes, places)
    scores = {
        "mutual_information_gap": evaluate.mutual_information_gap(codes, places),
        "dci_disentanglement": importance.disentanglement,
        "dci_completeness": importance.completeness,
        "dci_informativeness": importance.informativeness,
        "sap": evaluate.sap(codes, places, categorical=(0,)),
        "modularity": evaluate.modularity(codes, places),
        "explicitness": evaluate.explicitness(codes, places),
        "irs": evaluate.irs(codes, places),
    }

    @jax.jit
    def encode(x: jax.Array) -> jax.Array:
        return jnp.asarray(run.model.encode(run.state.params, x).mean())

    def draw(key: Key, indices: jax.Array) -> jax.Array:
        del key
        image = render(factor_values(factors, indices), size)
        return jnp.asarray(image, jnp.float32)

    try:
        jax.eval_shape(encode, images.x[:1])
    except TypeError:  # no mean in closed form
        return scores
    beta_key, factor_key = jax.random.split(key)
    points: dict[str, int] = {"num_train": NUM_POINTS, "num_test": NUM_POINTS}
    scores["beta_vae_score"] = evaluate.beta_vae_score(
        beta_key, encode, draw, factors.sizes, num_pairs=NUM_EACH, **points
    )
    scores["factor_vae_score"] = evaluate.factor_vae_score(
        factor_key, encode, draw, factors.sizes, num_each=NUM_EACH, **points
    )
    return scores


def check_prior(subject: Subject) -> None:
    """Raises NotMeasuredError where draws of the prior mean nothing."""
    if not subject.trains_prior:
        raise NotMeasuredError(
            "The prior took no part in the training of this model, as in a "
            "deterministic auto-encoder: its draws mean nothing."
        )
