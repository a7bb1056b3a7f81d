"""Likelihoods p(x|z): factories of `Family`, each in its own file."""

from vaejax.likelihoods.bernoulli import bernoulli as bernoulli
from vaejax.likelihoods.normal import normal as normal
