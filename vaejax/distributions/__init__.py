"""Distributions: frozen pytrees with `sample`, `log_prob` and `mean`."""

from vaejax.distributions.bernoulli import Bernoulli as Bernoulli
from vaejax.distributions.beta_binomial import BetaBinomial as BetaBinomial
from vaejax.distributions.categorical import Categorical as Categorical
from vaejax.distributions.continuous_bernoulli import (
    ContinuousBernoulli as ContinuousBernoulli,
)
from vaejax.distributions.coupled_logistic_mixture import (
    CoupledLogisticMixture as CoupledLogisticMixture,
)
from vaejax.distributions.discretized_logistic import (
    DiscretizedLogistic as DiscretizedLogistic,
)
from vaejax.distributions.discretized_logistic_mixture import (
    DiscretizedLogisticMixture as DiscretizedLogisticMixture,
)
from vaejax.distributions.full_normal import FullNormal as FullNormal
from vaejax.distributions.kl import kl_divergence as kl_divergence
from vaejax.distributions.laplace import Laplace as Laplace
from vaejax.distributions.levels import Levels as Levels
from vaejax.distributions.low_rank_normal import LowRankNormal as LowRankNormal
from vaejax.distributions.masked import Masked as Masked
from vaejax.distributions.mixture import Mixture as Mixture
from vaejax.distributions.ms_ssim import MSSSIM as MSSSIM
from vaejax.distributions.negative_binomial import NegativeBinomial as NegativeBinomial
from vaejax.distributions.normal import Normal as Normal
from vaejax.distributions.optimal_normal import OptimalNormal as OptimalNormal
from vaejax.distributions.pairwise import pairwise_log_prob as pairwise_log_prob
from vaejax.distributions.point_mass import PointMass as PointMass
from vaejax.distributions.poisson import Poisson as Poisson
from vaejax.distributions.rescaled import Rescaled as Rescaled
from vaejax.distributions.student_t import StudentT as StudentT
from vaejax.distributions.zero_inflated_negative_binomial import (
    ZeroInflatedNegativeBinomial as ZeroInflatedNegativeBinomial,
)
