"""Scores of disentanglement: what codes know of the factors that made an image."""

from vaejax.evaluate.disentanglement.dci import DCI as DCI
from vaejax.evaluate.disentanglement.dci import dci as dci
from vaejax.evaluate.disentanglement.irs import irs as irs
from vaejax.evaluate.disentanglement.modularity import modularity as modularity
from vaejax.evaluate.disentanglement.mutual_information_gap import (
    mutual_information_gap as mutual_information_gap,
)
from vaejax.evaluate.disentanglement.sap import sap as sap
from vaejax.evaluate.disentanglement.score import Score as Score
