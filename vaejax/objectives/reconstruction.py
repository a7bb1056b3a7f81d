"""The loss of a deterministic auto-encoder."""

import jax

from vaejax.base import Key, Metrics, Model, Objective, Params, X


def reconstruction() -> Objective:
    r"""Distortion alone: :math:`-\log p(x|z), z \sim q(z|x)`.

    With a point-mass posterior this is the auto-encoder: under a Bernoulli likelihood
    its cross entropy, under a normal one its squared error up to constants. It bounds
    nothing; the prior takes no part.

    Returns:
      An `Objective`: loss `[B]` in nats; metric `distortion`, the same.
    """

    def loss(key: Key, model: Model, params: Params, x: X) -> tuple[jax.Array, Metrics]:
        z = model.encode(params, x).sample(key)
        distortion = model.decode(params, z).distortion(x)
        return distortion, {"distortion": distortion}

    return Objective(loss)
