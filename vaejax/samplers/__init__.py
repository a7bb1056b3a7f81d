"""Post-hoc samplers: laws of z that fit the codes of a trained model.

A sampler is what a factory returns: `(key, model, params, x) -> Distribution`, over z,
fitted to the codes of the examples x. What it draws is decoded as ever:
`model.decode(params, law.sample(key, (64,)))`.
"""

from vaejax.samplers.aggregated_posterior import (
    aggregated_posterior as aggregated_posterior,
)
from vaejax.samplers.codes import Sampler as Sampler
from vaejax.samplers.codes import codes as codes
from vaejax.samplers.flow import flow as flow
from vaejax.samplers.gaussian_mixture import gaussian_mixture as gaussian_mixture
from vaejax.samplers.prior import prior as prior
from vaejax.samplers.two_stage import two_stage as two_stage
