"""How fast a sweep is in one program, against its runs one after the other.

`python -m experiments benchmark sweep --num-epochs 10` takes a minute on 2 quiet cores.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

import vaejax
from experiments.errors import UserError
from experiments.members import member, one_device_a_core, program
from experiments.models import Recipe, vae
from experiments.peers.rounds import ratios, spread, summary
from experiments.peers.turns import interleaved, num_cores, say
from experiments.peers.worker import BATCH, HIDDEN, LATENT, LEARNING_RATE, Answer

BETAS, SEEDS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0), 4
FIRST = "one after the other"
TARGET = 0.95  # of its speed, on one device


def sweep(
    *,
    dataset: str | None,
    data_dir: str | None,
    num_images: int,
    num_pairs: int,
    num_epochs: int,
    seed: int,
) -> dict[str, Any]:
    """Times the rate-distortion curve of 8 betas and 4 seeds, in this process.

    Of a VAE with 400 hidden units and 20 latent dimensions, on digits if nothing else
    is named. All ways take the same steps: one run after the other, each step on all
    cores; all in one program on one device; with 8 side by side; and on as many devices
    as there are cores, which is what `sweep` does.

    Raises:
      UserError: if a count is less than 1, or there are fewer images than one batch.
    """
    if min(num_pairs, num_epochs) < 1:
        raise UserError("num_pairs and num_epochs must be at least 1.")
    one_device_a_core()
    name = dataset or "digits"
    images = vaejax.data.load(name, data_dir=data_dir, validation_fraction=0)
    x = jnp.asarray(images.train.image[:num_images])
    if len(x) < BATCH:
        raise UserError(f"One batch needs {BATCH} images, got {len(x)}.")
    num_members, num_devices = len(BETAS) * SEEDS, jax.local_device_count()
    say(f"{num_members} runs of {len(x):,} images of {name}; {num_cores()} cores")
    runs = _runs(x, images.scale, num_epochs, seed, num_devices)
    say("warm-up and compilation")
    interleaved(runs, 1)
    say(f"{num_pairs} rounds of {', '.join(runs)}")
    answers = interleaved(runs, num_pairs)
    seconds = {who: [run.seconds for run in own] for who, own in answers.items()}
    speed = {who: summary(ratios(seconds[FIRST], own)) for who, own in seconds.items()}
    for who, figure in speed.items():
        took = spread(summary(seconds[who]))
        print(f"{who:28} {took} s, speed {spread(figure)}")
    print(f"target: {TARGET} in one program on one device")
    return {
        "benchmark": "sweep",
        "dataset": name,
        "num_images": len(x),
        "num_runs": num_members,
        "num_pairs": num_pairs,
        "num_epochs": num_epochs,
        "num_cores": num_cores(),
        "num_devices": num_devices,
        "seed": seed,
        "seconds": {who: summary(own) for who, own in seconds.items()},
        "speed": speed,
        "loss": {who: own[-1].value for who, own in answers.items()},
        "target": TARGET,
        "met": speed["one program"]["median"] >= TARGET,
    }


def _runs(
    data: jax.Array, scale: float, num_epochs: int, seed: int, num_devices: int
) -> dict[str, Callable[[], Answer]]:
    """Every way to take the same steps; its value is the mean loss of all runs."""
    network = functools.partial(vaejax.networks.mlp, hidden=[HIDDEN])
    recipe: Recipe = vae(data.shape[1:], network=network, latent_dim=LATENT)
    optimizer = optax.adam(LEARNING_RATE)
    prepare = functools.partial(vaejax.data.binarize, scale=scale)
    num_members, num_steps = len(BETAS) * SEEDS, jnp.int32(len(data) // BATCH)
    parts = recipe, optimizer, BATCH, prepare
    betas = jnp.repeat(jnp.array(BETAS), SEEDS)

    def start(init: Callable[..., Any]) -> vaejax.TrainState:
        keys = jax.random.split(jax.random.key(seed), SEEDS)
        x = jnp.zeros((SEEDS, 1, *data.shape[1:]))
        states = init(keys, x)
        index = jnp.arange(num_members) % SEEDS
        return jax.tree.map(lambda leaf: leaf[index], states)

    def timed(epoch: Callable[[], jax.Array]) -> Answer:
        began = time.perf_counter()
        for _ in range(num_epochs):
            loss = epoch()
        value = float(jnp.mean(loss))  # waits
        return Answer(time.perf_counter() - began, value)

    def together(num_at_once: int, devices: int) -> Callable[[], Answer]:
        every = program(*parts, num_members, num_at_once, jax.devices()[:devices])
        states, weights = every.place((start(every.init), {"beta": betas}))

        def epoch() -> jax.Array:
            nonlocal states
            states, told = every.epoch(states, weights, data, num_steps)
            return told["loss"]

        return lambda: timed(epoch)

    def alone() -> Callable[[], Answer]:
        single = program(*parts, 1, 1, jax.devices()[:1])
        states = start(single.init)
        own = [
            jax.tree.map(lambda leaf: leaf[None], member(states, i))
            for i in range(num_members)
        ]
        weights = [{"beta": beta[None]} for beta in betas]

        def epoch() -> jax.Array:
            told = []
            for i in range(num_members):
                own[i], metrics = single.epoch(own[i], weights[i], data, num_steps)
                told.append(metrics["loss"])
            return jnp.concatenate(told)

        return lambda: timed(epoch)

    return {
        FIRST: alone(),
        "one program": together(1, 1),
        "8 side by side": together(8, 1),
        f"on {num_devices} devices": together(1, num_devices),
    }
