"""The classifier of the scores that need one, so that no library's version matters."""

from typing import NamedTuple

import numpy as np


class Classifier(NamedTuple):
    """Log odds of classes, linear in standardised features."""

    loc: np.ndarray  # [D]
    scale: np.ndarray  # [D], infinite for a feature that was constant
    weight: np.ndarray  # [D + 1, C], the last row is the intercept

    def odds(self, x: np.ndarray) -> np.ndarray:
        """Log odds, up to what the classes share: `[N, D] -> [N, C]`."""
        return _with_one((x - self.loc) / self.scale) @ self.weight


def logistic_regression(
    x: np.ndarray, y: np.ndarray, num_classes: int, *, penalty: float = 1.0
) -> Classifier:
    r"""Fits all classes at once, with a ridge penalty, by Newton's method.

    .. math:: \min_{W, b} -\sum_n \log \mathrm{softmax}(x_n W + b)_{y_n} +
              \tfrac\lambda2 |W|^2

    with features of mean 0 and variance 1. Of two classes it is the usual regression on
    the difference of their weights, with half the penalty.

    Args:
      x: features `[N, D]`.
      y: classes `[N]`, integers from 0 on.
      num_classes: C.
      penalty: lambda, positive; the intercepts have 1e-8, which makes them unique.

    Returns:
      The classifier, whose gradient is 0 to rounding.
    """
    constant = np.ptp(x, axis=0) == 0
    loc, scale = x.mean(axis=0), np.where(constant, np.inf, x.std(axis=0))
    x, target = _with_one((x - loc) / scale), np.eye(num_classes)[y]
    ridge = np.full((x.shape[1], 1), float(penalty))
    ridge[-1] = 1e-8

    def loss(weight: np.ndarray) -> float:
        logits = x @ weight
        fit = _log_sum_exp(logits) - (logits * target).sum(axis=1)
        return fit.sum() + 0.5 * (ridge * weight**2).sum()

    weight = np.zeros((x.shape[1], num_classes))
    for _ in range(100):
        logits = x @ weight
        p = np.exp(logits - _log_sum_exp(logits)[:, None])
        gradient = x.T @ (p - target) + ridge * weight
        if abs(gradient).max() <= 1e-9 * len(x):
            break
        step = np.linalg.solve(_hessian(x, p, ridge), gradient.T.ravel())
        step = step.reshape(num_classes, -1).T
        size, before = 1.0, loss(weight)
        while loss(weight - size * step) > before and size > 1e-6:
            size /= 2  # Newton's step may be too long, never in a wrong direction
        weight = weight - size * step
    return Classifier(loc, scale, weight)


def _hessian(x: np.ndarray, p: np.ndarray, ridge: np.ndarray) -> np.ndarray:
    """The second derivatives `[C (D + 1), C (D + 1)]`, class by class."""
    classes = range(p.shape[1])

    def block(a: int, b: int) -> np.ndarray:
        curvature = p[:, a] * ((a == b) - p[:, b])
        return (x * curvature[:, None]).T @ x + (a == b) * np.diag(ridge[:, 0])

    return np.block([[block(a, b) for b in classes] for a in classes])


def _with_one(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, np.ones((len(x), 1))], axis=1)


def _log_sum_exp(logits: np.ndarray) -> np.ndarray:
    largest = logits.max(axis=1)
    return largest + np.log(np.exp(logits - largest[:, None]).sum(axis=1))
