"""Four simulated devices, and every reuse of a key is an error."""

import os

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "4")

import jax

jax.config.update("jax_debug_key_reuse", True)
