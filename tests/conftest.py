"""Four simulated devices, every reuse of a key an error, programs compiled in haste.

A run of the oracles alone (`-m oracle`) fails if one was skipped for want of its peer.
"""

import os

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "4")
os.environ.setdefault(
    "XLA_FLAGS",  # half the time to compile, which is most of the time of the tests
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false",
)

import jax

jax.config.update("jax_debug_key_reuse", True)


def pytest_sessionfinish(session):
    """Lets `make oracles` fail where a peer is missing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.option.markexpr == "oracle" and reporter is not None:
        skipped = reporter.stats.get("skipped", [])
        if skipped and not session.exitstatus:
            session.exitstatus = 1
