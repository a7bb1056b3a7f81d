"""How fast: this library against its peers, the matrix unit and the clock.

`python -m experiments benchmark mlp` takes about two minutes on 2 quiet cores.

Every contender is a program of its own in `experiments/peers`, started once and then
told when to run: one at a time, in turns, on the same cores, timed by the same clock.
A ratio is that of two runs of one round, so a machine that slows down for a minute
slows both; the figure is the median over the rounds.
"""

import importlib.util
import inspect
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments.errors import UserError
from experiments.estimators import estimators
from experiments.likelihood_speed import likelihood
from experiments.peers.product import SIZE
from experiments.peers.rounds import (
    grey_images,
    ratios,
    save,
    spread,
    summary,
    time_epochs,
)
from experiments.peers.turns import (
    contender,
    interleaved,
    num_cores,
    python_seconds,
    say,
)
from experiments.peers.worker import BATCH, HIDDEN, LATENT, Answer
from experiments.sweep_speed import sweep

PEERS = {"torch": "PyTorch's plain loop", "numpyro": "numpyro's compiled epoch"}
DEPENDENCIES = "import jax, flax.linen, optax, chex"
TARGETS = {  # at least, but for those that begin with "max"
    "torch": 1.7,
    "numpyro": 1.05,
    "fraction": 0.55,
    "max_loss_difference": 1.0,
    "max_first_step_seconds": 12.0,
    "max_import_ratio": 1.3,
    "bare": 1 / 1.05,
}
CONV_TARGET = 1.2  # times PyTorch


def benchmark(
    name: Literal["mlp", "conv", "likelihood", "sweep", "estimators"] = "mlp",
    *,
    dataset: str | None = None,
    data_dir: str | None = None,
    num_images: int = 60_000,
    num_pairs: int = 5,
    num_epochs: int = 1,
    peers: tuple[str, ...] = ("torch", "numpyro"),
    num_draws: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Measures speed against peers, or the noise of gradients (estimators).

    Args:
      name: which benchmark: mlp and conv time training epochs, likelihood the
        importance-weighted estimate of log p(x), sweep many runs as one program
        against one after the other, and estimators compares estimators of
        the gradient of importance-weighted bounds.
      dataset: such as `fashion_mnist` or `idx:FOLDER`; its training images. Default:
        random grey images of 28 x 28.
      data_dir: folder of the idx files of a named data set.
      num_images: use at most so many.
      num_pairs: rounds; a round runs every contender once.
      num_epochs: epochs in one run. One more run of each, before the rounds, compiles.
      peers: of mlp: whom to compare with, among `torch` and `numpyro`; one that is not
        installed is left out, and the table says so.
      num_draws: of estimators: gradients drawn for every figure.
      seed: of everything random.

    Returns:
      Every figure of the table, null where there is none.

    Raises:
      UserError: if a flag is of another benchmark, or as the benchmark says.
    """
    given = dict(locals())
    run = BENCHMARKS[given.pop("name")]
    takes = inspect.signature(run).parameters
    for flag, parameter in inspect.signature(benchmark).parameters.items():
        if flag in given.keys() - takes.keys() and given[flag] != parameter.default:
            raise UserError(
                f"--{flag.replace('_', '-')} is no flag of benchmark {name}."
            )
    return run(**{flag: given[flag] for flag in takes})


def mlp(
    *,
    dataset: str | None,
    data_dir: str | None,
    num_images: int,
    num_pairs: int,
    num_epochs: int,
    peers: tuple[str, ...],
    seed: int,
) -> dict[str, Any]:
    """Times training epochs of a 784-400-20 VAE against peers, on the CPU.

    Batch 128, Adam with learning rate 1e-3, the negative ELBO with a Bernoulli
    likelihood and the KL in closed form, ReLU; images binarised once beforehand, the
    same for all. The cores are those this process may use (choose them with `taskset`),
    and every contender has that many threads. Let nothing else run.

    Raises:
      UserError: if a peer is unknown, a count is less than 1, or there are fewer
        images than one batch.
    """
    counts = {"num_pairs": num_pairs, "num_epochs": num_epochs}
    for count, value in counts.items():
        if value < 1:
            raise UserError(f"{count} must be at least 1, got {value}.")
    for peer in peers:
        if peer not in PEERS:
            raise UserError(f"peers are among {', '.join(PEERS)}, got {peer!r}.")
    grey, source = grey_images(dataset, data_dir, num_images, seed)
    if len(grey) < BATCH:
        raise UserError(f"One batch needs {BATCH} images, got {len(grey)}.")
    result: dict[str, Any] = {
        "benchmark": "mlp",
        "dataset": source,
        "num_images": len(grey),
        "num_cores": num_cores(),
        "load_average_before": os.getloadavg()[0],
        "seed": seed,
        **counts,
    }
    say(f"{source}; {num_cores()} cores; load {result['load_average_before']:.2f}")
    with tempfile.TemporaryDirectory() as folder:
        coins = np.random.default_rng(seed).random(grey.shape, np.float32)
        binary = save(folder, "binary", grey / 255 > coins)
        files = {
            "vaejax": ("vaejax_vae", binary),
            "bare": ("bare_scan", binary),
            "product": ("product", binary),
        }
        for peer in peers:
            if importlib.util.find_spec(peer) is not None:
                files[peer] = (f"{peer}_vae", binary)
        files["vaejax_dynamic"] = ("vaejax_vae", save(folder, "grey", grey))
        answers = time_epochs(files, num_pairs, num_epochs, seed)
        starts = time_starts(save(folder, "batch", np.load(binary)[:BATCH]), num_pairs)
    num_used = num_epochs * (len(grey) // BATCH * BATCH)
    result |= epoch_figures(answers, num_used, grey.shape[1], peers)
    result |= start_figures(starts)
    result |= {"targets": TARGETS, "met": met(result)}
    print(table(result))
    return result


def conv(
    *,
    dataset: str | None,
    data_dir: str | None,
    num_images: int,
    num_pairs: int,
    seed: int,
) -> dict[str, Any]:
    """Times training epochs of a convolutional VAE against PyTorch's, on the CPU.

    28 x 28, 32 and 64 channels of 4 x 4 convolutions with stride 2 and their mirror
    image, ReLU, batch 128; otherwise as `mlp`. PyTorch has its images channels last,
    where it is faster.

    Raises:
      UserError: if a count is less than 1, there are fewer images than one batch, or
        PyTorch is not installed.
    """
    if num_pairs < 1:
        raise UserError(f"num_pairs must be at least 1, got {num_pairs}.")
    if importlib.util.find_spec("torch") is None:
        raise UserError("benchmark conv needs PyTorch: pip install 'vaejax[peers]'.")
    grey, source = grey_images(dataset, data_dir, num_images, seed)
    if len(grey) < BATCH:
        raise UserError(f"One batch needs {BATCH} images, got {len(grey)}.")
    say(f"{source}; {num_cores()} cores; load {os.getloadavg()[0]:.2f}")
    coins = np.random.default_rng(seed).random(grey.shape, np.float32)
    with tempfile.TemporaryDirectory() as folder:
        images = (grey / 255 > coins).reshape(-1, 28, 28)
        path = save(folder, "binary", images)
        files = {
            "vaejax": ("vaejax_vae", path),
            "bare": ("bare_scan", path),
            "torch": ("torch_vae", path),
        }
        answers = time_epochs(files, num_pairs, 1, seed)
    seconds = {who: [run.seconds for run in runs] for who, runs in answers.items()}
    num_used = len(grey) // BATCH * BATCH
    ratio = summary(ratios(seconds["torch"], seconds["vaejax"]))
    bare = summary(ratios(seconds["bare"], seconds["vaejax"]))
    speeds = {who: num_used / statistics.median(runs) for who, runs in seconds.items()}
    losses = {who: runs[-1].value for who, runs in answers.items()}
    for who, speed in speeds.items():
        print(f"{who:8}{speed:9,.0f} images/s, loss {losses[who]:.2f}")
    print(f"PyTorch's seconds: {spread(ratio)} times vaejax's, target >= {CONV_TARGET}")
    print(f"The step written out, without a guard: {spread(bare)} times vaejax's.")
    return {
        "benchmark": "conv",
        "dataset": source,
        "num_images": len(grey),
        "num_pairs": num_pairs,
        "num_cores": num_cores(),
        "seed": seed,
        "images_per_second": speeds,
        "loss": losses,
        "ratio": ratio,
        "bare_ratio": bare,
        "target": CONV_TARGET,
        "met": ratio["median"] >= CONV_TARGET,
    }


BENCHMARKS: dict[str, Callable[..., dict[str, Any]]] = {
    "mlp": mlp,
    "conv": conv,
    "likelihood": likelihood,
    "sweep": sweep,
    "estimators": estimators,
}


def time_starts(one_batch: Path, num_pairs: int) -> dict[str, list[float]]:
    """Seconds to the first step, and of the imports."""
    say("starts and imports")
    return interleaved(
        {
            "first_step": lambda: first_step_seconds(one_batch),
            "import": lambda: python_seconds("import vaejax"),
            "dependencies": lambda: python_seconds(DEPENDENCIES),
        },
        num_pairs,
    )


def flops_per_image(num_pixels: int) -> int:
    """Counts by hand the FLOPs of one image's matrix products, 2 a multiply-add.

    The weights of the four layers, 784 x 400, 400 x 40, 20 x 400 and 400 x 784, are
    651,200 multiply-adds forward. Backward has as many for the gradient of the weights
    and as many for that of the layer's input, but for the first layer, whose input is
    the image: 3 * 651,200 - 313,600 = 1,640,000 multiply-adds, 3.28 MFLOP.
    """
    first = num_pixels * HIDDEN
    forward = first + HIDDEN * 2 * LATENT + LATENT * HIDDEN + HIDDEN * num_pixels
    return 2 * (3 * forward - first)


def first_step_seconds(one_batch: Path) -> float:
    """From the start of a process to the end of its first step, with compilation."""
    start = time.perf_counter()
    with contender("vaejax_vae", one_batch, seed=0) as run:
        run()
        return time.perf_counter() - start


def epoch_figures(
    answers: dict[str, list[Answer]],
    num_used: int,
    num_pixels: int,
    peers: tuple[str, ...],
) -> dict[str, Any]:
    """The figures of the rounds; `num_used` images were trained on in each."""
    seconds = {who: [run.seconds for run in runs] for who, runs in answers.items()}
    losses = {who: runs[-1].value for who, runs in answers.items()}
    num_product_flops = losses.pop("product")
    gflops = [num_product_flops / s / 1e9 for s in seconds["product"]]
    flops = flops_per_image(num_pixels)
    trained = [flops * num_used / s / 1e9 for s in seconds["vaejax"]]
    contenders = ("vaejax", "bare", *peers, "vaejax_dynamic")
    compared = [losses[who] for who in ("vaejax", "bare", *peers) if who in losses]
    return {
        "epoch_seconds": {
            who: summary(seconds[who]) if who in seconds else None for who in contenders
        },
        "images_per_second": {
            who: num_used / statistics.median(seconds[who]) if who in seconds else None
            for who in contenders
        },
        "ratio": {
            who: summary(ratios(seconds[who], seconds["vaejax"]))
            if who in seconds
            else None
            for who in contenders
        },
        "loss": {who: losses.get(who) for who in contenders},
        "loss_difference": max(compared) - min(compared),
        "flops_per_image": flops,
        "product_gflops": summary(gflops),
        "fraction": summary(ratios(trained, gflops)),
    }


def start_figures(starts: dict[str, list[float]]) -> dict[str, Any]:
    """The figures of what happens before the first step."""
    return {
        "first_step_seconds": summary(starts["first_step"]),
        "import_seconds": summary(starts["import"]),
        "import_ratio": summary(ratios(starts["import"], starts["dependencies"])),
    }


def met(result: dict[str, Any]) -> dict[str, bool | None]:
    """Which targets the medians reach; None where a peer is missing."""
    reached: dict[str, bool | None] = {
        peer: None if ratio is None else ratio["median"] >= TARGETS[peer]
        for peer, ratio in result["ratio"].items()
        if peer in TARGETS
    }
    return reached | {
        "fraction": result["fraction"]["median"] >= TARGETS["fraction"],
        "loss_difference": result["loss_difference"] <= TARGETS["max_loss_difference"],
        "first_step_seconds": result["first_step_seconds"]["median"]
        <= TARGETS["max_first_step_seconds"],
        "import_ratio": result["import_ratio"]["median"] <= TARGETS["max_import_ratio"],
    }


def table(result: dict[str, Any]) -> str:
    """What a person reads."""
    names = {
        "vaejax": "vaejax",
        "bare": "its step written out, no guard",
        "vaejax_dynamic": "vaejax, binarising on the device",
    }
    lines = [f"{'':34}{'images/s':>9}{'seconds':>9}{'loss':>9}  times vaejax's seconds"]
    for who, ratio in result["ratio"].items():
        label = (names | PEERS)[who]
        if ratio is None:
            lines += [f"{label:34}not installed: pip install 'vaejax[peers]'"]
            continue
        lines += [
            f"{label:34}{result['images_per_second'][who]:9,.0f}"
            f"{result['epoch_seconds'][who]['median']:9.2f}{result['loss'][who]:9.2f}"
            f"  {spread(ratio)}"
            + (f", target >= {TARGETS[who]:.3g}" if who in TARGETS else "")
        ]
    gflops, fraction = result["product_gflops"], result["fraction"]
    return "\n".join(
        [
            *lines,
            f"Product of {SIZE} x {SIZE} matrices: {spread(gflops, '.0f')} GFLOP/s; "
            f"vaejax reaches {spread(fraction)} of it, target >= {TARGETS['fraction']}",
            f"  (by hand {result['flops_per_image'] / 1e6:.2f} MFLOP an image: three "
            "times the four layers, less the gradient of the image)",
            f"Losses of the last epoch differ by {result['loss_difference']:.2f} nats, "
            f"target <= {TARGETS['max_loss_difference']}",
            f"Start to first step: {spread(result['first_step_seconds'])} s, "
            f"target <= {TARGETS['max_first_step_seconds']}",
            f"import vaejax: {spread(result['import_ratio'])} times `{DEPENDENCIES}`, "
            f"target <= {TARGETS['max_import_ratio']}",
            f"Medians and ranges of {result['num_pairs']} rounds.",
        ]
    )
