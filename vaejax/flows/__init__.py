"""Flows: invertible maps of vectors, of which posteriors and priors are made.

Every factory is `name(*, hyperparameters) -> Flow`; the dimension comes at `init`.
"""

from vaejax.flows.affine_coupling import affine_coupling as affine_coupling
from vaejax.flows.flow import Flow as Flow
from vaejax.flows.flow import chain as chain
from vaejax.flows.flow import invert as invert
from vaejax.flows.flow import repeat as repeat
from vaejax.flows.inverse_autoregressive import (
    inverse_autoregressive as inverse_autoregressive,
)
from vaejax.flows.linear import linear as linear
from vaejax.flows.masked_autoregressive import (
    masked_autoregressive as masked_autoregressive,
)
from vaejax.flows.permutation import permutation as permutation
from vaejax.flows.planar import planar as planar
from vaejax.flows.radial import radial as radial
from vaejax.flows.spline_coupling import spline_coupling as spline_coupling
from vaejax.flows.sylvester import sylvester as sylvester
from vaejax.flows.transformed import Transformed as Transformed
