"""Four simulated devices, every reuse of a key an error, programs compiled in haste.

Programs are dropped when they are many: an exception of C++, which JAX throws in
plenty, looks for its handler among all that are loaded, so that late in the suite a
test took 80 times as long as alone.

A run of the oracles alone (`-m oracle`) fails if one was skipped for want of its peer.
"""

import collections
import os

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "4")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import jax
import pytest

jax.config.update("jax_debug_key_reuse", True)


MANY = 500  # to drop 2,000 at once took 20 s
COMPILED = "/jax/core/compile/backend_compile_duration"
events: collections.Counter[str] = collections.Counter()
jax.monitoring.register_event_duration_secs_listener(
    lambda event, *args, **kwargs: events.update([event])
)


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    """After a module, so that its tests share theirs."""
    yield
    if events[COMPILED] > MANY:
        jax.clear_caches()
        events.clear()


def pytest_sessionfinish(session):
    """Lets `make oracles` fail where a peer is missing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.option.markexpr == "oracle" and reporter is not None:
        skipped = reporter.stats.get("skipped", [])
        if skipped and not session.exitstatus:
            session.exitstatus = 1
