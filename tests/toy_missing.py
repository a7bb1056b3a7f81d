"""What a linear-Gaussian model knows of examples with hidden values."""

from typing import Any, NamedTuple

import numpy as np
import scipy.stats

from tests.toy import LinearGaussian


class Hidden(NamedTuple):
    """The law of the hidden values of one example given the observed ones."""

    log_prob: float  # log p(x_observed)
    mean: np.ndarray  # of all values; the observed ones themselves
    cov: np.ndarray  # of the hidden ones


def hidden(exact: LinearGaussian, x: Any, mask: Any) -> Hidden:
    """The answers for one example, in float64, by scipy and the Schur complement."""
    x, seen = np.asarray(x, np.float64), np.asarray(mask, bool)
    cov = exact.weight.T @ exact.weight + exact.noise**2 * np.eye(len(exact.bias))
    seen_cov = cov[np.ix_(seen, seen)]
    law = scipy.stats.multivariate_normal(exact.bias[seen], seen_cov)
    gain = np.linalg.solve(seen_cov, cov[np.ix_(seen, ~seen)])
    mean = x.copy()
    mean[~seen] = exact.bias[~seen] + (x[seen] - exact.bias[seen]) @ gain
    rest = cov[np.ix_(~seen, ~seen)] - cov[np.ix_(~seen, seen)] @ gain
    return Hidden(float(law.logpdf(x[seen])), mean, rest)


def true_posterior(exact: LinearGaussian, mask: Any) -> Any:
    """Parameters whose q(z|x_observed) is the true one for a mask, D = 1.

    The encoder is given hidden values as 0, and its weights for them are 0.
    """
    seen = np.asarray(mask, float)
    part = exact._replace(weight=exact.weight * seen)
    params = part.params()
    params["likelihood"] = exact.params()["likelihood"]
    return params
