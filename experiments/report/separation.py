"""Six measures of how well codes separate classes, all of them on new images."""

import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, silhouette_samples
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vaejax.evaluate.structure import matched

NUM_NEIGHBORS = 5
PROBE = "linear probe accuracy"
RAND = "k-means adjusted Rand index"


class Split(NamedTuple):
    """Codes and labels to fit, and new ones to predict."""

    train: np.ndarray  # [N, D]
    train_label: np.ndarray
    new: np.ndarray  # [M, D]
    new_label: np.ndarray


def choose(split: Split, labels: np.ndarray) -> Split:
    """The codes of some classes only."""
    here, there = (np.isin(x, labels) for x in (split.train_label, split.new_label))
    return Split(
        split.train[here],
        split.train_label[here],
        split.new[there],
        split.new_label[there],
    )


def measure(split: Split) -> dict[str, np.ndarray]:
    """The six measures: `[M]`, one number for each new image, or one for all `[]`.

    Accuracies are 1 where an image gets its class and 0 elsewhere; clusters are first
    matched to classes one to one, so that most new images agree. The adjusted Rand
    index is 0 at chance; the silhouette says how much nearer an image is to its own
    class than to the next, from -1 to 1.
    """
    cluster = clusters(split)
    neighbors = KNeighborsClassifier(min(NUM_NEIGHBORS, len(split.train)))
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    return {
        "nearest neighbours accuracy": classified(neighbors, split),
        "nearest centroid accuracy": classified(NearestCentroid(), split),
        PROBE: classified(probe, split),
        "k-means accuracy": agreement(cluster, split.new_label),
        RAND: np.array(adjusted_rand_score(split.new_label, cluster)),
        "silhouette": silhouette_samples(split.new, split.new_label),
    }


def classified(classifier: Any, split: Split) -> np.ndarray:
    """Whether a classifier fitted to training codes names each new image rightly."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant pixels, unfinished iterations
        classifier.fit(split.train, split.train_label)
        return (classifier.predict(split.new) == split.new_label).astype(float)


def clusters(split: Split) -> np.ndarray:
    """The cluster of each new image, by k-means fitted to training codes."""
    num_clusters = len(np.unique(split.train_label))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer distinct codes than clusters
        model = KMeans(num_clusters, n_init=4, random_state=0).fit(split.train)
    return model.predict(split.new)


def agreement(cluster: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Where clusters, once matched to labels as well as can be, agree with them."""
    _, label = np.unique(label, return_inverse=True)
    return (matched(cluster, label)[cluster] == label).astype(float)
