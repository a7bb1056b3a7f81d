"""The prior that the model was trained with."""

from vaejax.base import Distribution, Key, Model, Params, X
from vaejax.checks import check_positive
from vaejax.models import unconditional
from vaejax.samplers.codes import Sampler


def prior(*, temperature: float = 1.0) -> Sampler:
    r"""The model's own p(z), its noise scaled by a temperature.

    A normal is :math:`N(\text{loc}, t^2 \Sigma)`; a mixture keeps its weights and its
    components are scaled each about its own mean. A prior says so by a method
    `tempered(t)`; one without has the temperature 1 only, which is the prior itself.

    Args:
      temperature: t, positive; below 1 draws are likelier and less diverse.

    Returns:
      A `Sampler`; it looks at no examples.

    Raises:
      ValueError: if a Python `temperature` is not positive.
      TypeError: when it is used, if it is not 1 and the prior cannot be scaled, or the
        model waits for a condition.
    """
    check_positive(temperature=temperature)

    def sampler(key: Key, model: Model, params: Params, x: X) -> Distribution:
        law = unconditional(model, "samplers.prior").prior(params)
        if isinstance(temperature, int | float) and temperature == 1:
            return law
        tempered = getattr(law, "tempered", None)
        if tempered is None:
            raise TypeError(
                f"A prior that is a {type(law).__name__} has no temperature: use 1."
            )
        return tempered(temperature)

    return sampler
