"""Models of incomplete examples, pairs `(value, mask)`: the mask is 1 where observed.

What is hidden must be missing at random: that it is hidden may depend on what was
observed, not on the hidden value itself.
"""

import jax

from vaejax.base import Model
from vaejax.distributions.masked import Masked, fill_in


def observed(model: Model, fill: jax.Array | float = 0.0) -> Model:
    r"""The marginal p(observed elements, z) of a model of pairs `(value, mask)`.

    Its bound and its `evaluate.log_likelihood` are those of
    :math:`\log p(x_\text{observed})`. Hidden values may be anything, NaN included;
    encoder and likelihood see `fill` in their place.

    Args:
      model: a model whose encoder is given `(value, mask)`, which `networks.mlp`
        joins; `mask_blind` makes one of a model of plain values.
      fill: a number, or an array of the shape of one x such as the mean of the
        training data; a value that the likelihood allows.

    Returns:
      A `Model` of `(value, mask)`, each `[B, ...]`; `decode` gives a `Masked`.
    """
    return Model(
        lambda key, x: model.init(key, fill_in(x, fill)),
        lambda params, x: model.encode(params, fill_in(x, fill)),
        lambda params, z: Masked(model.decode(params, z), fill),
        model.prior,
    )


def mask_blind(model: Model) -> Model:
    """A model of `(value, mask)` whose encoder sees the filled-in value alone.

    As in the paper of `objectives.masked`; so may a model that was trained on complete
    data be asked about incomplete ones.

    Args:
      model: any model of plain values.
    """
    return model._replace(
        init=lambda key, x: model.init(key, x[0]),
        encode=lambda params, x: model.encode(params, x[0]),
    )
