"""Objectives: factories of a loss `[B]` in nats, each in its own file."""

from vaejax.objectives.denoising import denoising as denoising
from vaejax.objectives.elbo import elbo as elbo
from vaejax.objectives.iwae import iwae as iwae
from vaejax.objectives.reconstruction import reconstruction as reconstruction
