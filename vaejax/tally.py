"""What many steps come to: means over those that were taken, counts of the others.

taken, skipped     steps that changed the parameters, and that did not
skipped_in_a_row   the longest row of skipped steps that ends in these
last_in_row        where the first such row ends, by `state.step`, from 1; 0 if none was
nonfinite_NAME     steps in which the metric NAME was NaN or infinite

Where `collapsed` is a metric (see `watched`), of the steps in which it was 1

collapsed_at_first how many there are before any other
collapsed_in_a_row the longest row of them
collapsed_at_last  how many there are after any other

All others are means over the steps taken; NaN if there were steps and all were skipped.
"""

from types import ModuleType

import jax
import jax.numpy as jnp

from vaejax.base import Metrics

COUNTS = ("taken", "skipped")
LONGEST = ("skipped_in_a_row", "last_in_row")
ROWS = FIRST, LONGEST_ROW, LAST = (
    "collapsed_at_first",
    "collapsed_in_a_row",
    "collapsed_at_last",
)
NONFINITE = "nonfinite_"


def of_step(step: jax.Array, skipped: jax.Array, metrics: Metrics) -> Metrics:
    """The tally of one step, its means not yet divided.

    Args:
      step: of the state after it, `[]`.
      skipped: of the state after it: how many in a row up to here, `[]`.
      metrics: of the step, `[]` each, or of any shape.
    """
    lost = jnp.asarray(skipped > 0)
    one = lost.astype(jnp.int32)
    tally = {name: jnp.where(lost, 0, value) for name, value in metrics.items()}
    tally |= {
        NONFINITE + name: (~jnp.isfinite(value)).any().astype(jnp.int32)
        for name, value in metrics.items()
    }
    if "collapsed" in metrics:
        tally |= dict.fromkeys(ROWS, (metrics["collapsed"] > 0).astype(jnp.int32))
    return tally | {
        "taken": 1 - one,
        "skipped": one,
        "skipped_in_a_row": jnp.asarray(skipped),
        "last_in_row": one * step,
    }


def added(a: Metrics, b: Metrics) -> Metrics:
    """The tally of the steps of both, their means not yet divided."""
    sums = {n: _longest(n, a, b, jnp) if n in LONGEST else a[n] + b[n] for n in b}
    return sums | _rows(a, b, jnp)


def means(sums: Metrics, xp: ModuleType = jnp) -> Metrics:
    """Divides what is a mean by the steps taken."""
    taken, skipped = sums["taken"], sums["skipped"]

    def mean(total: jax.Array) -> jax.Array:
        known = xp.where((taken > 0) | (skipped == 0), total, xp.nan)
        return known / xp.maximum(taken, 1)

    return {n: v if _is_count(n) else mean(v) for n, v in sums.items()}


def merged(a: Metrics, b: Metrics, xp: ModuleType = jnp) -> Metrics:
    """The tally of two segments, of which b follows a; either may be empty, `{}`.

    Args:
      a: as `train_epoch` returns it.
      b: the same.
      xp: `numpy` for numbers on the host, in double precision.
    """
    if not (a and b):
        return a or b

    def one(name: str) -> jax.Array:
        if name in LONGEST:
            return _longest(name, a, b, xp)
        if _is_count(name):
            return a[name] + b[name]
        return sum(xp.where(t["taken"] > 0, t[name], 0) * t["taken"] for t in (a, b))

    return means({name: one(name) for name in b} | _rows(a, b, xp), xp)


def _longest(name: str, a: Metrics, b: Metrics, xp: ModuleType) -> jax.Array:
    longer = b["skipped_in_a_row"] > a["skipped_in_a_row"]
    return xp.where(longer, b[name], a[name])


def _rows(a: Metrics, b: Metrics, xp: ModuleType) -> Metrics:
    """Rows of steps that go on from a to b are one."""
    if LONGEST_ROW not in b:
        return {}
    through_a, through_b = (t[FIRST] == t["taken"] + t["skipped"] for t in (a, b))
    across = a[LAST] + b[FIRST]
    return {
        FIRST: a[FIRST] + xp.where(through_a, b[FIRST], 0),
        LONGEST_ROW: xp.maximum(xp.maximum(a[LONGEST_ROW], b[LONGEST_ROW]), across),
        LAST: b[LAST] + xp.where(through_b, a[LAST], 0),
    }


def _is_count(name: str) -> bool:
    return name in COUNTS + LONGEST + ROWS or name.startswith(NONFINITE)
