"""The affine coupling of Real NVP."""

from collections.abc import Sequence

from vaejax.flows.coupling import coupling
from vaejax.flows.elementwise import affine
from vaejax.flows.flow import Flow


def affine_coupling(*, hidden: Sequence[int] = (64,)) -> Flow:
    r"""Half of the coordinates shift and scale the other half.

    .. math:: z'_a = z_a, \quad z'_b = \mu(z_a) + e^{\alpha(z_a)} \odot z_b, \quad
              \log|\det| = \sum_i \alpha_i(z_a)

    Both directions take one pass. :math:`|\alpha| < 3`, by a tanh.

    Args:
      hidden: the widths of the network for :math:`\mu` and :math:`\alpha`, which also
        sees the context.

    Returns:
      A `Flow` for vectors of at least 2 dimensions.

    Raises:
      ValueError: if a width is less than 1, or at `init` if there is one dimension.

    References:
      Dinh et al., 2017, https://arxiv.org/abs/1605.08803.
    """
    return coupling(affine(), hidden)
