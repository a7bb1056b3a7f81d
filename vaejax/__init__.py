"""Variational auto-encoders in JAX: pure functions from the laptop to the pod.

    model     = posterior(encoder) + prior + likelihood(decoder)
    objective = a loss [B] in nats
    step      = train_step(model, objective, optimizer, state, x) -> (state, metrics)

`vaejax.checkpoint` and `vaejax.data` load when first used.
"""

import importlib
from typing import Any

from vaejax import distributions as distributions
from vaejax import evaluate as evaluate
from vaejax import flows as flows
from vaejax import likelihoods as likelihoods
from vaejax import missing as missing
from vaejax import networks as networks
from vaejax import objectives as objectives
from vaejax import posteriors as posteriors
from vaejax import priors as priors
from vaejax import rates as rates
from vaejax import samplers as samplers
from vaejax import schedules as schedules
from vaejax.averaged import averaged as averaged
from vaejax.averaged import averaged_params as averaged_params
from vaejax.base import ConditionalModel as ConditionalModel
from vaejax.base import Distribution as Distribution
from vaejax.base import Family as Family
from vaejax.base import Model as Model
from vaejax.base import Objective as Objective
from vaejax.epoch import train_chunk as train_chunk
from vaejax.epoch import train_epoch as train_epoch
from vaejax.large_gradients import skip_large_gradients as skip_large_gradients
from vaejax.models import (
    conditional_latent_variable_model as conditional_latent_variable_model,
)
from vaejax.models import latent_variable_model as latent_variable_model
from vaejax.parallel import map_rows as map_rows
from vaejax.parallel import parallelize as parallelize
from vaejax.parallel import replicate as replicate
from vaejax.streamed import streamed as streamed
from vaejax.train import TrainState as TrainState
from vaejax.train import init_state as init_state
from vaejax.train import optimizers as optimizers
from vaejax.train import train_step as train_step
from vaejax.watched import watched as watched

__version__ = "0.1.0"
LAZY = ("checkpoint", "data", "export", "parameter_file")


def __getattr__(name: str) -> Any:
    if name in LAZY:
        return importlib.import_module(f"vaejax.{name}")
    raise AttributeError(f"module 'vaejax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *LAZY])
