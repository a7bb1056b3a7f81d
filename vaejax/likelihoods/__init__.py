"""Likelihoods p(x|z): factories of `Family`, each in its own file.

============================ =======================================================
data                         likelihood
============================ =======================================================
0 and 1                      `bernoulli`
grey levels, stored integers `discretized_logistic`, its mixture, `categorical`,
                             `beta_binomial`: log masses, which compare
colours                      `discretized_logistic_mixture` with `coupling`
grey, real in [0, 1]         `continuous_bernoulli`; a Bernoulli's cross entropy of grey
                             values is a loss, and no log-likelihood
real numbers                 `normal`; `laplace` or `student_t` where some are far off
counts                       `poisson`, `negative_binomial`; of which some are lost,
                             `zero_inflated_negative_binomial`; out of n,
                             `beta_binomial`
tokens                       `categorical`
============================ =======================================================

A level is a value k / (L - 1), k = 0, ..., L - 1: what the data pipeline makes of the
stored integer k. Counts and tokens are seen as they are stored. `Distribution.support`
says which a likelihood expects, and `data.check_support` compares.
"""

from vaejax.likelihoods.bernoulli import bernoulli as bernoulli
from vaejax.likelihoods.beta_binomial import beta_binomial as beta_binomial
from vaejax.likelihoods.categorical import categorical as categorical
from vaejax.likelihoods.continuous_bernoulli import (
    continuous_bernoulli as continuous_bernoulli,
)
from vaejax.likelihoods.discretized_logistic import (
    discretized_logistic as discretized_logistic,
)
from vaejax.likelihoods.discretized_logistic_mixture import (
    discretized_logistic_mixture as discretized_logistic_mixture,
)
from vaejax.likelihoods.laplace import laplace as laplace
from vaejax.likelihoods.ms_ssim import ms_ssim as ms_ssim
from vaejax.likelihoods.negative_binomial import negative_binomial as negative_binomial
from vaejax.likelihoods.normal import normal as normal
from vaejax.likelihoods.poisson import poisson as poisson
from vaejax.likelihoods.student_t import student_t as student_t
from vaejax.likelihoods.zero_inflated_negative_binomial import (
    zero_inflated_negative_binomial as zero_inflated_negative_binomial,
)
