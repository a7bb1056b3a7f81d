"""Distributions: frozen pytrees with `sample`, `log_prob` and `mean`."""

from vaejax.distributions.bernoulli import Bernoulli as Bernoulli
from vaejax.distributions.kl import kl_divergence as kl_divergence
from vaejax.distributions.normal import Normal as Normal
from vaejax.distributions.optimal_normal import OptimalNormal as OptimalNormal
from vaejax.distributions.point_mass import PointMass as PointMass
