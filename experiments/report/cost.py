"""Question 7: what each model costs."""

import functools
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.report import style
from experiments.report.finding import Figure, Finding, Row, Table
from experiments.report.statistics import (
    Estimate,
    interval,
    over_one,
    paired,
    plus_minus,
)
from experiments.report.subject import Subject
from experiments.report.training import Models, Trained, prepare
from vaejax import TrainState, train_step
from vaejax.base import Key

NUM_ROUNDS = 9
NUM_STEPS = 20  # of each model in a round


class Step(NamedTuple):
    """One compiled train step."""

    program: Any
    state: Any
    num_params: int
    num_bytes: int  # arguments, outputs and temporaries


def cost(models: Models, subject: Subject, key: Key) -> Finding:
    """Counts parameters, times compiled steps in turn, asks the compiler for memory."""
    settings = models.settings
    images = jnp.asarray(subject.train[: settings.batch_size])
    x = prepare(settings)(key, images)
    steps = {t.name: compiled(key, t, settings.learning_rate, x) for t in models.four}
    times = timed(steps, x)
    per_cent = {
        name: paired(100 * t / times["AE"], np.full(NUM_ROUNDS, 100.0))
        for name, t in times.items()
    }
    params = [step.num_params for step in steps.values()]
    memory = [step.num_bytes for step in steps.values()]
    rows = (
        Row("parameters", tuple(params)),
        Row("more than the AE, %", tuple(100 * n / params[0] - 100 for n in params), 1),
        Row("memory of a step, MiB", tuple(n / 2**20 for n in memory)),
        Row("more than the AE, %", tuple(100 * n / memory[0] - 100 for n in memory), 1),
        Row("time of a step, ms", tuple(over_one(1e3 * t) for t in times.values()), 3),
        Row("more than the AE, %", (0.0, *list(per_cent.values())[1:]), 1),
    )
    return Finding(
        title="What each costs",
        sentence=(
            f"The VAE has {_more(params[1] / params[0] - 1)} parameters than the AE, a "
            f"step takes {_more(memory[1] / memory[0] - 1)} memory, and "
            f"{_slower(per_cent['VAE'])}."
        ),
        details=(
            f"A step takes {_milliseconds(times['VAE'])} for the VAE and "
            f"{_milliseconds(times['AE'])} for the AE."
        ),
        notes=(
            f"One seed, batches of {len(x)}, on {jax.devices()[0].platform}: medians "
            f"of {NUM_STEPS} steps after compilation, the four models in turn, "
            f"{NUM_ROUNDS} rounds, over which the standard errors are. Memory is the "
            "compiler's own account of a step: arguments, outputs and temporaries.",
        ),
        tables=(Table("A training step", tuple(steps), rows),),
        figures=(_figure(times),),
    )


def compiled(key: Key, trained: Trained, learning_rate: float, x: jax.Array) -> Step:
    """Compiles one step of one seed, as training would run it."""
    optimizer = optax.adam(learning_rate)
    params = jax.tree.map(lambda leaf: leaf[0], trained.params)
    none = jnp.zeros((), jnp.int32)
    state = TrainState(none, params, optimizer.init(params), key, none)
    step = functools.partial(train_step, trained.model, trained.objective, optimizer)
    program = jax.jit(step).lower(state, x).compile()
    memory = program.memory_analysis()
    sizes = ("argument_size_in_bytes", "output_size_in_bytes", "temp_size_in_bytes")
    num_bytes = sum(int(getattr(memory, name, 0)) for name in sizes)
    num_params = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    return Step(program, state, num_params, num_bytes)


def timed(steps: dict[str, Step], x: jax.Array) -> dict[str, np.ndarray]:
    """Median seconds per step in each round, the models taking turns."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(NUM_ROUNDS + 1):  # the first round warms up
        for name, step in steps.items():
            taken = []
            for _ in range(NUM_STEPS):
                start = time.perf_counter()
                jax.block_until_ready(step.program(step.state, x))
                taken.append(time.perf_counter() - start)
            times[name].append(float(np.median(taken)))
    return {name: np.array(values[1:]) for name, values in times.items()}


def _milliseconds(seconds: np.ndarray) -> str:
    return f"{plus_minus(over_one(1e3 * seconds), 3)} ms"


def _more(share: float) -> str:
    return f"{abs(100 * share):.1f} % {'more' if share >= 0 else 'less'}"


def _slower(gap: Estimate) -> str:
    """In words: `gap` is in per cent of the AE's time."""
    if not gap.clear:
        return f"no difference in speed was found ({interval(gap, 1)} per cent)"
    word = "longer" if gap.value > 0 else "less long"
    size = plus_minus(gap._replace(value=abs(gap.value)), 1)
    return f"takes {size} % {word} ({interval(gap, 1)})"


def _figure(times: dict[str, np.ndarray]) -> Figure:
    plot, ax = style.axes(4.6, 2.3)
    for i, (name, seconds) in enumerate(times.items()):
        style.dots(ax, i, 1e3 * seconds, style.COLORS[name])
    ax.set_yticks(range(len(times)), list(times))
    ax.invert_yaxis()
    ax.set_xlim(left=0)
    ax.set_xlabel("milliseconds per step")
    return Figure(
        "cost_time",
        plot,
        "Time per step: every dot is a round, every bar the mean of all with its "
        "standard error.",
        "Milliseconds per training step of the four models.",
    )
