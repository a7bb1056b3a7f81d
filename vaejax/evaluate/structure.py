"""How well codes tell classes apart, with and without their labels."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

GROUPS = 20  # of the jackknife


class LatentStructure(NamedTuple):
    """Measures on held-out codes and their errors: the same names in both."""

    value: dict[str, float]
    standard_error: dict[str, float]


def latent_structure(
    train_codes: Any,
    train_labels: Any,
    test_codes: Any,
    test_labels: Any,
    *,
    num_neighbors: int = 10,
    seed: int = 0,
) -> LatentStructure:
    r"""Classifies and clusters codes; all is fitted to one set, scored on another.

    =============================  =================================================
    neighbors_accuracy             vote of the nearest training codes
    centroid_accuracy              nearest mean of a class
    probe_accuracy                 logistic regression of standardised codes
    k_means_accuracy               clusters as many as classes, matched to them one
    mixture_accuracy               to one on the training codes; of full covariances
    k_means_rand, mixture_rand     adjusted Rand index of clusters and labels
    k_means_mutual_information     mutual information of them over the mean of their
    mixture_mutual_information     entropies
    silhouette                     :math:`(b - a) / \max(a, b)` of mean distances to
                                   the own class, a, and to the nearest other one, b
    =============================  =================================================

    Chance is 0 for the Rand index and about 0 for the last two. The errors are those of
    M held-out codes, given what was fitted: binomial for accuracies, for others a
    jackknife that leaves out one of 20 random groups at a time. The silhouette takes 21
    passes over the distances of all pairs of held-out codes; its error is NaN where one
    of two classes is so rare that a group holds all of it.

    Args:
      train_codes: `[N, D]`, such as posterior means.
      train_labels: their classes, `[N]`.
      test_codes: new ones, `[M, D]`, M at least 40.
      test_labels: `[M]`, each a class of the training labels.
      num_neighbors: who vote, from 1 to N.
      seed: of k-means, of the mixture and of the groups of the jackknife.

    Returns:
      A `LatentStructure`.

    Raises:
      ValueError: if shapes, labels or `num_neighbors` are not as above, or a set has
        fewer than 2 classes.

    References:
      Hubert and Arabie, 1985, Comparing partitions (the adjusted Rand index).
      Rousseeuw, 1987, Silhouettes.
    """
    train, test = (np.asarray(codes, float) for codes in (train_codes, test_codes))
    names = np.asarray(train_labels), np.asarray(test_labels)
    _check(train, names[0], test, names[1], num_neighbors)
    classes, train_label = np.unique(names[0], return_inverse=True)
    test_label = np.searchsorted(classes, names[1])
    value, error = {}, {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unfinished iterations, few distinct codes
        for name, classifier in _classifiers(num_neighbors).items():
            classifier.fit(train, train_label)
            value[name] = float((classifier.predict(test) == test_label).mean())
        measures = {"silhouette": _silhouette(test, test_label)}
        for name, clusters in _clusterings(len(classes), seed).items():
            clusters.fit(train)
            match = matched(clusters.predict(train), train_label)
            cluster = clusters.predict(test)
            value[f"{name}_accuracy"] = float((match[cluster] == test_label).mean())
            measures |= _agreements(name, cluster, test_label)
    num = len(test)
    for name, accuracy in value.items():
        error[name] = float(np.sqrt(accuracy * (1 - accuracy) / num))
    for name, measure in measures.items():
        value[name] = float(measure(np.arange(num)))
        error[name] = _jackknife(measure, num, seed)
    return LatentStructure(value, error)


def matched(cluster: np.ndarray, label: np.ndarray) -> np.ndarray:
    """The label `[K]` of each cluster, one to one, that most examples agree with."""
    from scipy.optimize import linear_sum_assignment

    size = 1 + max(label.max(), cluster.max())
    counts = np.zeros((size, size))
    np.add.at(counts, (cluster, label), 1)
    return linear_sum_assignment(counts, maximize=True)[1]


def _classifiers(num_neighbors: int) -> dict[str, Any]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return {
        "neighbors_accuracy": KNeighborsClassifier(num_neighbors),
        "centroid_accuracy": NearestCentroid(),
        "probe_accuracy": probe,
    }


def _clusterings(num_clusters: int, seed: int) -> dict[str, Any]:
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    return {
        "k_means": KMeans(num_clusters, n_init=4, random_state=seed),
        "mixture": GaussianMixture(num_clusters, n_init=4, random_state=seed),
    }


Measure = Callable[[np.ndarray], float]  # of the held-out codes of an index


def _silhouette(codes: np.ndarray, label: np.ndarray) -> Measure:
    from sklearn.metrics import silhouette_score

    def silhouette(index: np.ndarray) -> float:
        num_classes = len(np.unique(label[index]))
        if num_classes == 1:  # there is no other class
            return np.nan
        if num_classes == len(index):  # each alone in its class, where it is 0
            return 0.0
        return silhouette_score(codes[index], label[index])

    return silhouette


def _agreements(
    name: str, cluster: np.ndarray, label: np.ndarray
) -> dict[str, Measure]:
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    def information(index: np.ndarray) -> float:
        return normalized_mutual_info_score(
            label[index], cluster[index], average_method="arithmetic"
        )

    return {
        f"{name}_rand": lambda i: adjusted_rand_score(label[i], cluster[i]),
        f"{name}_mutual_information": information,
    }


def _jackknife(measure: Measure, num: int, seed: int) -> float:
    r""":math:`\sqrt{\frac{g - 1}{g} \sum_i (m_i - \bar m)^2}`, group i left out."""
    group = np.random.default_rng(seed).permutation(num) % GROUPS
    without = np.array([measure(np.flatnonzero(group != i)) for i in range(GROUPS)])
    return float(np.sqrt((GROUPS - 1) * without.var()))


def _check(
    train: np.ndarray,
    train_label: np.ndarray,
    test: np.ndarray,
    test_label: np.ndarray,
    num_neighbors: int,
) -> None:
    shapes = train.shape, train_label.shape, test.shape, test_label.shape
    (n, *d), (m, *e) = (*train.shape, 0)[:2], (*test.shape, 0)[:2]
    if train.ndim != 2 or d != e or shapes[1::2] != ((n,), (m,)):
        raise ValueError(f"Give codes [N, D], labels [N], [M, D] and [M]: {shapes}.")
    if unknown := sorted(set(test_label.tolist()) - set(train_label.tolist())):
        raise ValueError(f"Test labels {unknown} are none of the training labels.")
    if len(np.unique(test_label)) < 2:
        raise ValueError("The test labels are one class: give codes of 2 or more.")
    if m < 2 * GROUPS:
        raise ValueError(f"The errors need {2 * GROUPS} test codes, got {m}.")
    if not 1 <= num_neighbors <= n:
        raise ValueError(f"num_neighbors must be from 1 to {n}, got {num_neighbors}.")
