"""How fast importance-weighted likelihoods are: of this library, and of a peer.

`python -m experiments benchmark likelihood` takes some minutes on 2 quiet cores.
"""

import importlib.util
import tempfile
from typing import Any

import numpy as np

from experiments.errors import UserError
from experiments.peers.product import SIZE
from experiments.peers.rounds import (
    grey_images,
    ratios,
    save,
    spread,
    summary,
    time_epochs,
)
from experiments.peers.turns import num_cores, say
from experiments.peers.worker import HIDDEN, LATENT, NUM_PARTICLES

PEER = "pythae"
TARGETS = {"fraction": 0.6, "ratio": 3.7}
MOST_IMAGES = 1000  # of the 60,000 that are the default of the other benchmarks


def likelihood(
    *,
    dataset: str | None,
    data_dir: str | None,
    num_images: int,
    num_pairs: int,
    seed: int,
) -> dict[str, Any]:
    """Times 1,000 particles an image of a 784-400-20 VAE, on the CPU.

    At most 1,000 images. The model is as it is made, not trained: time does not depend
    on that. `get_nll` of pythae has the same parameters, and its default batch.

    Raises:
      UserError: if a count is less than 1.
    """
    if min(num_images, num_pairs) < 1:
        raise UserError(
            f"num_images and num_pairs must be at least 1, got {num_images} and "
            f"{num_pairs}."
        )
    grey, source = grey_images(dataset, data_dir, min(num_images, MOST_IMAGES), seed)
    say(f"{source}; {num_cores()} cores")
    coins = np.random.default_rng(seed).random(grey.shape, np.float32)
    flops = len(grey) * NUM_PARTICLES * decoder_flops(grey.shape[1])
    yardstick = np.zeros((max(1, flops // (4 * 4096 * 784)), 784), bool)  # a quarter
    with tempfile.TemporaryDirectory() as folder:
        images = save(folder, "binary", grey / 255 > coins)
        files = {
            "vaejax": ("vaejax_likelihood", images),
            "product": ("product", save(folder, "product", yardstick)),
        }
        if importlib.util.find_spec(PEER) is not None:
            files[PEER] = (f"{PEER}_likelihood", images)
        answers = time_epochs(files, num_pairs, 1, seed)
    seconds = {who: [run.seconds for run in runs] for who, runs in answers.items()}
    values = {who: runs[-1].value for who, runs in answers.items()}
    num_product_flops = values.pop("product")
    gflops = [num_product_flops / s / 1e9 for s in seconds["product"]]
    fraction = summary(ratios([flops / s / 1e9 for s in seconds["vaejax"]], gflops))
    ratio = None
    if PEER in seconds:
        ratio = summary(ratios(seconds[PEER], seconds["vaejax"]))
    for who, value in values.items():
        figure = summary(seconds[who])
        print(f"{who:8}{spread(figure)} s, log p(x) {value:.2f} nats an image")
    print(
        f"vaejax reaches {spread(fraction)} of the rate of a product of {SIZE} x "
        f"{SIZE} matrices, {spread(summary(gflops), '.0f')} GFLOP/s; target >= "
        f"{TARGETS['fraction']}\n  (by hand {flops / 1e9:,.0f} GFLOP, those of the "
        "decoder)"
    )
    if ratio is None:
        print(f"{PEER} is not installed: pip install 'vaejax[peers]'")
    else:
        print(f"{PEER}: {spread(ratio)} times vaejax's, target >= {TARGETS['ratio']}")
    return {
        "benchmark": "likelihood",
        "dataset": source,
        "num_images": len(grey),
        "num_particles": NUM_PARTICLES,
        "num_pairs": num_pairs,
        "num_cores": num_cores(),
        "seed": seed,
        "seconds": {who: summary(seconds[who]) for who in values},
        "log_likelihood": values,
        "product_gflops": summary(gflops),
        "fraction": fraction,
        "ratio": ratio,
        "targets": TARGETS,
        "met": {
            "fraction": fraction["median"] >= TARGETS["fraction"],
            "ratio": None if ratio is None else ratio["median"] >= TARGETS["ratio"],
        },
    }


def decoder_flops(num_pixels: int) -> int:
    """Counts by hand the FLOPs of the products of one particle, 2 a multiply-add."""
    return 2 * (LATENT * HIDDEN + HIDDEN * num_pixels)
