"""Priors p(z): factories of `Family`, each in its own file."""

from vaejax.priors.standard_normal import standard_normal as standard_normal
