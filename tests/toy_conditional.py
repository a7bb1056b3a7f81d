"""A conditional model whose answers are known exactly."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

import vaejax
from tests import toy
from vaejax import likelihoods, posteriors, priors


def joined() -> tuple[Any, Any]:
    """The network without parameters, of a tuple: `(x, y)` side by side."""
    return (lambda key, x: {}), (lambda params, x: jnp.concatenate(x, axis=-1))


class ConditionalGaussian(NamedTuple):
    r"""A linear-Gaussian model that y shifts by y V: p(x|y) and p(y|x) are known.

    .. math:: z \sim N(0, I), \quad x | z, y \sim N(z W + y V + b, \sigma^2 I)
    """

    base: toy.LinearGaussian
    shift: np.ndarray  # V, [C, P]

    def log_prob(self, x: Any, label: Any) -> np.ndarray:
        """log p(x|y), `[B]`, by scipy in float64."""
        return self.base.log_prob(np.asarray(x, np.float64) - self.shift[label])

    def joint(self, x: Any) -> np.ndarray:
        """log p(x, y) of every label y, `[B, C]`, y uniform."""
        num = len(self.shift)
        return np.stack([self.log_prob(x, y) for y in range(num)], 1) - np.log(num)

    def marginal(self, x: Any) -> np.ndarray:
        """log p(x), `[B]`."""
        return scipy.special.logsumexp(self.joint(x), axis=1)

    def draw(self, num: int) -> tuple[jax.Array, jax.Array]:
        """Data `[num, P]` and its labels `[num]`."""
        label = jnp.arange(num) % len(self.shift)
        return self.base.draw(num) + jnp.asarray(self.shift, float)[label], label

    def model(self) -> vaejax.ConditionalModel:
        """A conditional VAE that contains this model, as pure affine networks."""
        dim, event = self.base.weight.shape
        return vaejax.conditional_latent_variable_model(
            posteriors.diagonal_normal(joined(), dim),
            priors.standard_normal(dim),
            likelihoods.normal(joined(), (event,), scale=self.base.noise),
            num_classes=len(self.shift),
        )

    def params(self, shift: float = 0.0, stretch: float = 1.0) -> Any:
        """Its parameters, with the true posterior shifted and stretched."""
        params = self.base.params(shift, stretch)
        encoder = params["posterior"]["head"]
        decoder = params["likelihood"]["decoder"]["head"]
        v = jnp.asarray(self.shift, float)
        encoder["kernel"] = jnp.concatenate([encoder["kernel"], -v @ encoder["kernel"]])
        decoder["kernel"] = jnp.concatenate([decoder["kernel"], v])
        return params | {
            "objective": {"classifier": self.classifier(), "objective": {}}
        }

    def classifier(self) -> Any:
        """The parameters of the true p(y|x), whose logits are affine in x."""
        weight = self.base.weight
        cov = weight.T @ weight + self.base.noise**2 * np.eye(weight.shape[1])
        kernel = np.linalg.solve(cov, self.shift.T)  # [P, C]
        bias = -self.base.bias @ kernel - 0.5 * np.sum(self.shift.T * kernel, axis=0)
        head = {"kernel": jnp.asarray(kernel, float), "bias": jnp.asarray(bias, float)}
        return {"network": {}, "head": head}


def conditional_gaussian(num_classes: int = 3) -> ConditionalGaussian:
    """A random one."""
    base = toy.linear_gaussian()
    rng = np.random.default_rng(5)
    return ConditionalGaussian(base, rng.normal(size=(num_classes, len(base.bias))))
