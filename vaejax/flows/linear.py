"""An invertible matrix."""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

from vaejax.base import Key, Params, split
from vaejax.flows.elementwise import LOG_BOUND, soft_bound
from vaejax.flows.flow import Context, Flow, Moved

SMALL = 0.01  # how far from the identity it starts


def linear() -> Flow:
    r"""An invertible matrix, and a shift that a context tells.

    .. math:: z' = L (U + \text{diag}(e^\alpha)) z + b, \quad
              \log|\det| = \sum_i \alpha_i

    L is lower triangular with a unit diagonal, U upper triangular with a zero one and
    :math:`|\alpha| < 3`. b is a parameter, or with a context an affine map of it.

    Returns:
      A `Flow`.

    References:
      Kingma and Dhariwal, 2018, https://arxiv.org/abs/1807.03039.
    """

    def init(key: Key, dim: int, context_dim: int) -> Params:
        matrix_key, context_key = split(key)
        params = {
            "matrix": SMALL * jax.random.normal(matrix_key, (dim, dim)),
            "bias": jnp.zeros(dim),
        }
        if context_dim:
            kernel = jax.random.normal(context_key, (context_dim, dim))
            params["context"] = SMALL * kernel
        return params

    def read(params: Params, context: Context) -> tuple[jax.Array, ...]:
        """L, its other factor, alpha and b."""
        matrix = params["matrix"]
        alpha = soft_bound(jnp.diagonal(matrix), LOG_BOUND)
        lower = jnp.tril(matrix, -1) + jnp.eye(len(matrix), dtype=matrix.dtype)
        upper = jnp.triu(matrix, 1) + jnp.diag(jnp.exp(alpha))
        shift = params["bias"]
        if context is not None:
            shift = shift + context @ params["context"]
        return lower, upper, alpha, shift

    def forward(params: Params, z: jax.Array, context: Context) -> Moved:
        lower, upper, alpha, shift = read(params, context)
        z = z @ upper.T @ lower.T + shift
        return z, jnp.broadcast_to(alpha.sum(), z.shape[:-1])

    def inverse(params: Params, z: jax.Array, context: Context) -> Moved:
        lower, upper, alpha, shift = read(params, context)
        columns = (z - shift).reshape(-1, z.shape[-1]).T  # [D, N]
        columns = solve_triangular(lower, columns, lower=True, unit_diagonal=True)
        z = solve_triangular(upper, columns).T.reshape(z.shape)
        return z, -jnp.broadcast_to(alpha.sum(), z.shape[:-1])

    return Flow(init, forward, inverse)
