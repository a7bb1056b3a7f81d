"""Optimizers by name: optax transformations in their usual order."""

import math
from collections.abc import Callable
from typing import Any, Literal

import optax

import vaejax
from experiments.errors import UserError

Name = Literal["adam", "adamax", "rmsprop", "sgd"]
Schedule = Literal["constant", "cosine", "linear"]

SCALES: dict[str, Callable[[], optax.GradientTransformation]] = {
    "adam": optax.scale_by_adam,
    "adamax": optax.scale_by_adamax,
    "rmsprop": optax.scale_by_rms,
    "sgd": optax.identity,
}


def check_learning_rate(rate: float) -> None:
    """Refuses a step size that is no size.

    Raises:
      UserError: if it is not positive and finite.
    """
    if not 0 < rate < math.inf:
        raise UserError(f"--learning-rate must be positive and finite, got {rate}.")


def build_optimizer(training: dict[str, Any]) -> optax.GradientTransformation:
    """Clips, scales, decays the weights, and applies the learning rate.

    Around that, large gradients are skipped, and the parameters averaged.

    Args:
      training: `optimizer`, `learning_rate`, `learning_rate_schedule` (over
        `num_steps`), `weight_decay` (decoupled, as in AdamW), `clip_norm`; and if
        there, `skip_norm` and `ema_decay`.

    Raises:
      UserError: if a value is out of its range.
    """
    rate, decay = training["learning_rate"], training["weight_decay"]
    clip, num_steps = training["clip_norm"], training["num_steps"]
    check_learning_rate(rate)
    if not 0 <= decay < math.inf:
        raise UserError(f"--weight-decay must be at least 0 and finite, got {decay}.")
    if clip is not None and not clip > 0:
        raise UserError(f"--clip-norm must be positive, got {clip}.")
    skip, ema_decay = training.get("skip_norm"), training.get("ema_decay")
    if skip is not None and not 0 < skip < math.inf:
        raise UserError(f"--skip-norm must be positive and finite, got {skip}.")
    if ema_decay is not None and not 0 <= ema_decay < 1:
        raise UserError(f"--ema-decay must be from 0 to below 1, got {ema_decay}.")
    if training["optimizer"] not in SCALES:
        raise UserError(f"--optimizer must be one of {', '.join(SCALES)}.")
    schedules = {
        "constant": rate,
        "cosine": optax.cosine_decay_schedule(rate, num_steps),
        "linear": optax.linear_schedule(rate, 0.0, num_steps),
    }
    if training["learning_rate_schedule"] not in schedules:
        names = ", ".join(schedules)
        raise UserError(f"--learning-rate-schedule must be one of {names}.")
    optimizer = optax.chain(
        *([optax.clip_by_global_norm(clip)] if clip is not None else []),
        SCALES[training["optimizer"]](),
        *([optax.add_decayed_weights(decay)] if decay else []),
        optax.scale_by_learning_rate(schedules[training["learning_rate_schedule"]]),
    )
    if skip is not None:
        optimizer = vaejax.skip_large_gradients(optimizer, skip)
    return optimizer if ema_decay is None else vaejax.averaged(optimizer, ema_decay)
