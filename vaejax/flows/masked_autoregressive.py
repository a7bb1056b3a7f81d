"""The masked autoregressive flow: its density is fast."""

from collections.abc import Sequence

from vaejax.flows.autoregressive import autoregressive
from vaejax.flows.elementwise import affine
from vaejax.flows.flow import Flow


def masked_autoregressive(*, hidden: Sequence[int] = (64,)) -> Flow:
    r"""Every coordinate shifted and scaled by what the new ones before it say.

    .. math:: z'_i = \mu_i(z'_{<i}) + e^{\alpha_i(z'_{<i})} z_i, \quad
              \log|\det| = \sum_i \alpha_i

    The density of a point (`inverse`) takes one pass of the network, a draw
    (`forward`) a scan of D: a prior wants this one, a posterior
    `inverse_autoregressive`. In one dimension it is an affine map.
    :math:`|\alpha| < 3`, by a tanh.

    Args:
      hidden: the widths of the masked network for :math:`\mu` and :math:`\alpha`,
        which also sees the context.

    Returns:
      A `Flow`.

    Raises:
      ValueError: if a width is less than 1.

    References:
      Papamakarios et al., 2017, https://arxiv.org/abs/1705.07057.
      Germain et al., 2015, https://arxiv.org/abs/1502.03509 (the masks).
    """
    return autoregressive(affine(), hidden)
