"""Four simulated devices, every reuse of a key an error, programs compiled in haste."""

import os

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "4")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import jax

jax.config.update("jax_debug_key_reuse", True)
