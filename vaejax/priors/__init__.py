"""Priors p(z): factories of `Family`, each in its own file."""

from vaejax.priors.autoregressive import autoregressive as autoregressive
from vaejax.priors.flow import flow as flow
from vaejax.priors.mixture import mixture as mixture
from vaejax.priors.normal import normal as normal
from vaejax.priors.standard_normal import standard_normal as standard_normal
from vaejax.priors.vamp import vamp as vamp
