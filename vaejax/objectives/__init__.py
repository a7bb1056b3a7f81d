"""Objectives: factories of a loss `[B]` in nats, each in its own file."""

from vaejax.objectives.beta_tc import beta_tc as beta_tc
from vaejax.objectives.capacity import capacity as capacity
from vaejax.objectives.ciwae import ciwae as ciwae
from vaejax.objectives.conditional import conditional as conditional
from vaejax.objectives.denoising import denoising as denoising
from vaejax.objectives.dip import dip as dip
from vaejax.objectives.elbo import elbo as elbo
from vaejax.objectives.free_bits import free_bits as free_bits
from vaejax.objectives.info_mmd import info_mmd as info_mmd
from vaejax.objectives.iwae import iwae as iwae
from vaejax.objectives.masked import masked as masked
from vaejax.objectives.miwae import miwae as miwae
from vaejax.objectives.piwae import piwae as piwae
from vaejax.objectives.reconstruction import reconstruction as reconstruction
from vaejax.objectives.regularized import regularized as regularized
from vaejax.objectives.renyi import renyi as renyi
from vaejax.objectives.semi_supervised import m2 as m2
from vaejax.objectives.semi_supervised import predict as predict
from vaejax.objectives.sliced_wasserstein import (
    sliced_wasserstein as sliced_wasserstein,
)
from vaejax.objectives.wae_mmd import wae_mmd as wae_mmd
