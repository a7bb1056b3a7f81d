"""Scores of disentanglement: what codes know of the factors that made an image."""

from vaejax.evaluate.disentanglement.beta_vae_score import (
    beta_vae_score as beta_vae_score,
)
from vaejax.evaluate.disentanglement.dci import DCI as DCI
from vaejax.evaluate.disentanglement.dci import dci as dci
from vaejax.evaluate.disentanglement.explicitness import explicitness as explicitness
from vaejax.evaluate.disentanglement.factor_vae_score import (
    factor_vae_score as factor_vae_score,
)
from vaejax.evaluate.disentanglement.irs import irs as irs
from vaejax.evaluate.disentanglement.modularity import modularity as modularity
from vaejax.evaluate.disentanglement.mutual_information_gap import (
    mutual_information_gap as mutual_information_gap,
)
from vaejax.evaluate.disentanglement.sap import sap as sap
from vaejax.evaluate.disentanglement.score import Score as Score
from vaejax.evaluate.disentanglement.udr import udr as udr
