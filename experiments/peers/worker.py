"""What every contender does: build once, then run each time a line arrives.

`python -m experiments.peers.NAME IMAGES.npy SEED` builds, then answers every line of
stdin with one line of JSON. Between two lines it waits, so that only one contender
computes at a time, and all are timed by the same clock.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

HIDDEN, LATENT, BATCH, LEARNING_RATE = 400, 20, 128, 1e-3  # the same for everyone
NUM_PARTICLES = 1000  # of an importance-weighted estimate
CHANNELS = (32, 64)  # of the convolutions


class Answer(NamedTuple):
    """What one run gives."""

    seconds: float
    value: float  # mean loss of the epoch, in nats an image


def serve(build: Callable[[np.ndarray, int], Callable[[], float]]) -> None:
    """Runs a contender.

    Args:
      build: `(images, seed) -> run`; images `[N, D]` or `[N, H, W]` are bool or, for
        those who binarise by themselves, uint8. Each `run()` goes once through all
        images and returns when its value is known on the host.
    """
    path, seed = sys.argv[1:]
    run = build(np.load(path, allow_pickle=False), int(seed))
    for _ in sys.stdin:
        start = time.perf_counter()
        value = run()
        print(json.dumps([time.perf_counter() - start, value]), flush=True)
