"""Evaluation: how likely, how distorted; every number with its definition and error."""

from vaejax.evaluate.anomaly import anomaly_scores as anomaly_scores
from vaejax.evaluate.anomaly import input_complexity as input_complexity
from vaejax.evaluate.anomaly import latent_distance as latent_distance
from vaejax.evaluate.auroc import auroc as auroc
from vaejax.evaluate.clusters import cluster_probabilities as cluster_probabilities
from vaejax.evaluate.coverage import coverage as coverage
from vaejax.evaluate.distortion import distortion as distortion
from vaejax.evaluate.features import Features as Features
from vaejax.evaluate.features import classifier_features as classifier_features
from vaejax.evaluate.frechet import frechet_distance as frechet_distance
from vaejax.evaluate.impute import impute as impute
from vaejax.evaluate.impute import impute_draws as impute_draws
from vaejax.evaluate.kernel_distance import kernel_distance as kernel_distance
from vaejax.evaluate.likelihood import log_likelihood as log_likelihood
from vaejax.evaluate.measurement import Measurement as Measurement
from vaejax.evaluate.neighbors import nearest_neighbors as nearest_neighbors
from vaejax.evaluate.two_sample import two_sample_test as two_sample_test
