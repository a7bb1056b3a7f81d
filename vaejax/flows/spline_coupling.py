"""The coupling of neural spline flows."""

import math
from collections.abc import Sequence

from vaejax.flows.coupling import coupling
from vaejax.flows.flow import Flow
from vaejax.flows.spline import rational_quadratic


def spline_coupling(
    *, hidden: Sequence[int] = (64,), num_bins: int = 8, bound: float = 5.0
) -> Flow:
    r"""Half of the coordinates bend the other half by monotone splines.

    .. math:: z'_a = z_a, \quad z'_b = \text{spline}(z_b; \text{network}(z_a)), \quad
              \log|\det| = \sum_i \log \text{spline}'(z_{b,i})

    Both directions take one pass (see `rational_quadratic`).

    Args:
      hidden: the widths of the network, which also sees the context.
      num_bins: K, bins of a spline, at least 2.
      bound: coordinates beyond :math:`\pm` bound stay as they are.

    Returns:
      A `Flow` for vectors of at least 2 dimensions.

    Raises:
      ValueError: if an argument is out of its range, or at `init` if there is one
        dimension.

    References:
      Durkan et al., 2019, https://arxiv.org/abs/1906.04032.
    """
    if num_bins < 2:
        raise ValueError(f"num_bins must be at least 2, got {num_bins}.")
    if not 0 < bound < math.inf:
        raise ValueError(f"bound must be positive and finite, got {bound}.")
    return coupling(rational_quadratic(num_bins, bound), hidden)
