"""Evaluation: how likely, how distorted; every number with its definition and error."""

from vaejax.evaluate.annealed import annealed_log_likelihood as annealed_log_likelihood
from vaejax.evaluate.annealed import bidirectional as bidirectional
from vaejax.evaluate.anomaly import anomaly_scores as anomaly_scores
from vaejax.evaluate.anomaly import input_complexity as input_complexity
from vaejax.evaluate.anomaly import latent_distance as latent_distance
from vaejax.evaluate.anomaly import likelihood_regret as likelihood_regret
from vaejax.evaluate.auroc import auroc as auroc
from vaejax.evaluate.bits import bits_per_dimension as bits_per_dimension
from vaejax.evaluate.calibration import (
    simulation_based_calibration as simulation_based_calibration,
)
from vaejax.evaluate.clusters import cluster_probabilities as cluster_probabilities
from vaejax.evaluate.coverage import coverage as coverage
from vaejax.evaluate.decomposition import elbo_decomposition as elbo_decomposition
from vaejax.evaluate.dimensions import active_units as active_units
from vaejax.evaluate.dimensions import rate_per_dimension as rate_per_dimension
from vaejax.evaluate.disentanglement import DCI as DCI
from vaejax.evaluate.disentanglement import Score as Score
from vaejax.evaluate.disentanglement import beta_vae_score as beta_vae_score
from vaejax.evaluate.disentanglement import dci as dci
from vaejax.evaluate.disentanglement import explicitness as explicitness
from vaejax.evaluate.disentanglement import factor_vae_score as factor_vae_score
from vaejax.evaluate.disentanglement import irs as irs
from vaejax.evaluate.disentanglement import modularity as modularity
from vaejax.evaluate.disentanglement import (
    mutual_information_gap as mutual_information_gap,
)
from vaejax.evaluate.disentanglement import sap as sap
from vaejax.evaluate.disentanglement import udr as udr
from vaejax.evaluate.distortion import distortion as distortion
from vaejax.evaluate.features import Features as Features
from vaejax.evaluate.features import classifier_features as classifier_features
from vaejax.evaluate.frechet import frechet_distance as frechet_distance
from vaejax.evaluate.gap import inference_gap as inference_gap
from vaejax.evaluate.impute import impute as impute
from vaejax.evaluate.impute import impute_draws as impute_draws
from vaejax.evaluate.kernel_distance import kernel_distance as kernel_distance
from vaejax.evaluate.likelihood import log_likelihood as log_likelihood
from vaejax.evaluate.measurement import Measurement as Measurement
from vaejax.evaluate.neighbors import nearest_neighbors as nearest_neighbors
from vaejax.evaluate.structure import latent_structure as latent_structure
from vaejax.evaluate.two_sample import two_sample_test as two_sample_test
