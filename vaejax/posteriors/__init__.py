"""Posteriors q(z|x): factories of `Family`, each in its own file."""

from vaejax.posteriors.diagonal_normal import diagonal_normal as diagonal_normal
from vaejax.posteriors.flow import flow as flow
from vaejax.posteriors.full_normal import full_normal as full_normal
from vaejax.posteriors.iaf import iaf as iaf
from vaejax.posteriors.low_rank_normal import low_rank_normal as low_rank_normal
from vaejax.posteriors.planar import planar as planar
from vaejax.posteriors.point_mass import point_mass as point_mass
from vaejax.posteriors.radial import radial as radial
from vaejax.posteriors.sylvester import sylvester as sylvester
