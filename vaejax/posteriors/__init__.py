"""Posteriors q(z|x): factories of `Family`, each in its own file."""

from vaejax.posteriors.diagonal_normal import diagonal_normal as diagonal_normal
from vaejax.posteriors.point_mass import point_mass as point_mass
