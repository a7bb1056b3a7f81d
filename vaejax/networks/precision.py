"""Networks that compute in bfloat16: parameters, results and losses stay float32.

A network says so by an attribute `compute_dtype`; the head it is given (`heads.py`)
casts what goes in, and multiplies features by its weights into float32.
"""

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from vaejax.batch import Tree

Dtype = Literal["float32", "bfloat16"]


def check_dtype(dtype: str) -> None:
    """Refuses what is no precision to compute in.

    Raises:
      ValueError: naming those there are.
    """
    if dtype not in get_args(Dtype):
        names = ", ".join(get_args(Dtype))
        raise ValueError(f"dtype must be one of {names}, got {dtype!r}.")


def lowered(tree: Tree) -> Tree:
    """All numbers of a pytree in bfloat16, which has the integers up to 256."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), tree)


def floating(x: jax.Array) -> jax.Array:
    """Numbers of any type in float32 (64 bits where JAX has them), unless lowered."""
    return x if x.dtype == jnp.bfloat16 else x.astype(float)


@jax.custom_jvp
def product(h: jax.Array, kernel: jax.Array) -> jax.Array:
    """Features times weights, `[..., F] x [F, P]`, in bfloat16, added in float32.

    The gradient is a product in bfloat16 as well, which the rule of the plain product
    is not: it would multiply by the float32 cotangent.
    """
    return jnp.matmul(h, kernel, preferred_element_type=float)


@product.defjvp
def _product_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    (h, kernel), (h_dot, kernel_dot) = primals, tangents
    out = product(h, kernel)
    return out, (h_dot @ kernel + h @ kernel_dot).astype(out.dtype)
