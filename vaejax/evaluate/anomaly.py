"""How unlike the training data an image is, by several scores; `auroc` judges them.

The reconstruction error of an auto-encoder, the usual baseline, is its `distortion`.
"""

import functools
import math
import zlib
from typing import Any, NamedTuple

import jax
import numpy as np

from vaejax.base import ConditionalModel, Key, Model, Params, X, split
from vaejax.batch import batch_size, example_keys
from vaejax.evaluate.gap import inference_gap
from vaejax.evaluate.likelihood import log_likelihood
from vaejax.models import conditioned


def anomaly_scores(
    key: Key,
    model: Model | ConditionalModel,
    params: Params,
    x: X,
    num_particles: int = 100,
    *,
    stored: np.ndarray | None = None,
    memory: int | None = None,
) -> dict[str, jax.Array]:
    r"""Scores of every image, in nats: the higher, the more anomalous.

    - `negative_elbo`, and its `distortion` and `rate`;
    - `negative_log_likelihood`, by importance weights;
    - with `stored` also `complexity_corrected`, the excess of that over the length of
      the image in a general code, :math:`-\log p(x) - L(x)`. Simple images are likely
      under any model, also one that never saw their like: this takes it off. Only for
      a p(x) of values that are counted, such as bits or levels of grey, is it a
      logarithm of a ratio of probabilities.

    Args:
      key: a scalar key.
      model: as for `log_likelihood`.
      params: its parameters.
      x: images `[N, ...]`, ready for the likelihood.
      num_particles: K, at least 1.
      stored: the same images in whole numbers from 0 to 255, as `input_complexity`
        takes them.
      memory: bytes, as for `log_likelihood`.

    Returns:
      The scores by name, each `[N]`.

    Raises:
      ValueError: as `log_likelihood` and `input_complexity`, or if x and `stored` are
        not equally many.

    References:
      Serrà et al., 2020, https://arxiv.org/abs/1909.11480 (the correction).
    """
    if stored is not None and len(stored) != batch_size(x):
        raise ValueError(
            f"stored has {len(stored)} images and x {batch_size(x)}: give the same."
        )
    log_p, terms = log_likelihood(key, model, params, x, num_particles, memory=memory)
    scores = {
        "negative_elbo": -terms["elbo"],
        "negative_log_likelihood": -log_p,
        "distortion": terms["distortion"],
        "rate": terms["rate"],
    }
    if stored is not None:
        scores["complexity_corrected"] = -log_p - input_complexity(stored)
    return scores


def input_complexity(stored: Any) -> np.ndarray:
    """The length of each image in a lossless code, `[N]` in nats.

    The shortest of the DEFLATE streams, without header, of its bytes, and of their
    differences from the row above and from the column to the left, and of its bits
    where they are all 0 or 1: much as PNG, with one filter an image. Which it was is
    not counted. Builds of zlib differ by a few bytes.

    Args:
      stored: images `[N, ...]` of whole numbers from 0 to 255, or of booleans.

    Raises:
      ValueError: if there are other values.
    """
    stored = np.asarray(stored)
    whole = stored.astype(np.uint8)
    if not np.array_equal(whole, stored):
        raise ValueError(
            "The code is of whole numbers from 0 to 255, and there are others: give "
            "the images as they are stored, before they are scaled."
        )

    def num_bytes(image: np.ndarray) -> int:
        axes = range(min(image.ndim, 2))
        # Differences wrap around, which loses nothing.
        forms = [np.diff(image, axis=axis, prepend=np.uint8(0)) for axis in axes]
        forms += [image] if image.max() > 1 else [image, np.packbits(image)]
        return min(len(_deflate(form.tobytes())) for form in forms)

    return np.array([8 * math.log(2) * num_bytes(image) for image in whole])


def _deflate(content: bytes) -> bytes:
    code = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return code.compress(content) + code.flush()


class LikelihoodRegret(NamedTuple):
    """In nats, each `[N]`."""

    value: jax.Array
    standard_error: jax.Array  # from the draws, given the best posterior


def likelihood_regret(
    key: Key,
    model: Model | ConditionalModel,
    params: Params,
    x: X,
    num_particles: int = 100,
    *,
    num_steps: int = 200,
    num_fit: int = 8,
    learning_rate: float = 0.05,
    images: int = 8,
) -> LikelihoodRegret:
    r"""How much the ELBO of each image gains by a posterior of its own.

    .. math:: L[q^*] - L[q], \quad q^* = \arg\max_{q' \text{ diagonal normal}} L[q']

    The encoder was trained on images like those of training, so of others its
    posterior is the farther from the best one. It is the amortisation gap of
    `inference_gap`, whose arguments these are.

    Args:
      key: a scalar key.
      model: one whose posterior is a diagonal normal.
      params: its parameters.
      x: images `[N, ...]`, ready for the likelihood.
      num_particles: draws of each of the two ELBOs, at least 2.
      num_steps: of the fit, at least 1.
      num_fit: draws for each of its gradients, at least 1.
      learning_rate: of its first step; may be traced.
      images: how many images are in memory at once.

    Returns:
      A `LikelihoodRegret`: the higher, the more anomalous; not negative but for noise
      and a fit that has not converged.

    Raises:
      ValueError: if a count is out of its range.
      TypeError: if the posterior is not a diagonal normal.

    References:
      Xiao et al., 2020, https://arxiv.org/abs/2003.02977.
    """
    gap = inference_gap(
        key,
        model,
        params,
        x,
        num_particles,
        num_steps=num_steps,
        num_fit=num_fit,
        learning_rate=learning_rate,
        images=images,
    )
    name = "amortization_gap"
    return LikelihoodRegret(gap.estimate[name], gap.standard_error[name])


def latent_distance(
    key: Key,
    model: Model | ConditionalModel,
    params: Params,
    x: X,
    train: X,
    *,
    images: int = 64,
) -> np.ndarray:
    r"""How far the mean of q(z|x) is from the codes of training images: `[N]`.

    The Mahalanobis distance :math:`\sqrt{(\mu(x) - m)^\top S^{-1} (\mu(x) - m)}`, m and
    S the mean and the covariance of one code of each training image, which is drawn
    from its q(z|x). Directions in which no code varies count for nothing.

    Args:
      key: a scalar key.
      model: one whose codes are vectors and whose posterior has a mean.
      params: its parameters.
      x: examples `[N, ...]`.
      train: training examples `[M, ...]`, more than the codes have dimensions.
      images: how many examples are in memory at once.

    Raises:
      TypeError: if the posterior has no mean in closed form.
      ValueError: if `images` is less than 1 or there are too few training examples.
    """
    if images < 1:
        raise ValueError(f"images must be at least 1, got {images}.")
    own_key, train_key = split(key)
    mean, _ = _codes(own_key, model, params, x, images)
    _, drawn = _codes(train_key, model, params, train, images)
    num, dim = drawn.shape
    if num <= dim:
        raise ValueError(f"{num} training examples are too few for codes of {dim}.")
    gap = np.asarray(mean, np.float64) - np.asarray(drawn, np.float64).mean(axis=0)
    covariance = np.cov(np.asarray(drawn, np.float64), rowvar=False).reshape(dim, dim)
    inverse = np.linalg.pinv(covariance, rcond=1e-10, hermitian=True)
    return np.sqrt(np.maximum(((gap @ inverse) * gap).sum(axis=-1), 0))


@functools.partial(jax.jit, static_argnames=("model", "images"))
def _codes(
    key: Key, model: Model | ConditionalModel, params: Params, x: X, images: int
) -> tuple[jax.Array, jax.Array]:
    """The mean of q(z|x) and a draw from it, each `[N, D]`."""

    def one(pair: tuple[X, Key]) -> tuple[jax.Array, jax.Array]:
        own, example = conditioned(
            model, jax.tree.map(lambda leaf: leaf[None], pair[0])
        )
        posterior = own.encode(params, example)
        return posterior.mean()[0], posterior.sample(pair[1][None])[0]

    with jax.default_matmul_precision("highest"):
        keys = example_keys(key, batch_size(x))
        return jax.lax.map(one, (x, keys), batch_size=images)
