"""Does the likelihood give the data a probability at all? Asked before training."""

import numpy as np

from vaejax.data.dataset import DataError, Dataset, Split

SUPPORTS = ("binary", "unit_interval", "counts", "real")
BINARIZATIONS = ("none", "dynamic", "threshold")


def check_support(
    data: Split | Dataset, support: str, binarize: str, *, scale: float | None = None
) -> bool:
    """Check the values a model will see against the support of its likelihood.

    ========= ==================== ==================== =======================
    binarize  the model sees       True                 False
    ========= ==================== ==================== =======================
    none      x / scale            in the support       binary, and x / scale in
                                                        [0, 1] but not {0, 1}
    dynamic   a draw from {0, 1}   every support        never
    threshold 0 or 1               every support        never
    ========= ==================== ==================== =======================

    Args:
      data: a dataset (all its splits), or one split.
      support: `binary` {0, 1}, `unit_interval` [0, 1], `counts` (non-negative integers,
        seen as stored) or `real`.
      binarize: `none`, `dynamic` or `threshold`.
      scale: the value that means 1.0; required for a split, of which it is no part.

    Returns:
      Whether `log_prob` of the data is a log-likelihood. False for values between
      0 and 1 under a binary likelihood: training works and is common, but `elbo` and
      `log_likelihood` mean nothing and must not be reported.

    Raises:
      DataError: if a value is outside the support.
      ValueError: if an argument is not one of those listed.
    """
    if support not in SUPPORTS:
        raise ValueError(f"support must be one of {SUPPORTS}, got {support!r}.")
    if binarize not in BINARIZATIONS:
        raise ValueError(f"binarize must be one of {BINARIZATIONS}, got {binarize!r}.")
    if isinstance(data, Dataset):
        parts = {"train": data.train, "validation": data.validation, "test": data.test}
        name, scale = data.name, data.scale
    else:
        parts, name = {"image": data}, "the data"
    if scale is None:
        raise ValueError("A split has no scale of its own: pass scale=Dataset.scale.")
    inside = [
        check_values(part.image, support, binarize, scale, name, field)
        for field, part in parts.items()
        if part is not None and len(part.image)
    ]
    return all(inside)


def check_values(
    x: np.ndarray, support: str, binarize: str, scale: float, name: str, field: str
) -> bool:
    """Check one array; see `check_support`."""
    if binarize == "none":
        if support == "real":
            return True  # finite, or it would not have been loaded
        if support == "counts":
            if x.dtype.kind in "biu" or (x.min() >= 0 and (x == np.round(x)).all()):
                return True
            got = f"{x.dtype} values from {x.min()} to {x.max()}"
            remedy = "Save the counts as integers, or use another likelihood."
            raise DataError(name, field, "non-negative integers", got, remedy)
    low, high = float(x.min()) / scale, float(x.max()) / scale
    if low < 0 or high > 1:
        reason = f"a {support} likelihood" if binarize == "none" else "binarisation"
        got = f"values from {low:g} to {high:g}"
        remedy = "Rescale the data to [0, 1], or choose a likelihood for its values."
        raise DataError(name, field, f"values in [0, 1] for {reason}", got, remedy)
    if binarize != "none" or support != "binary" or x.dtype == np.bool_:
        return True
    return bool(((x == 0) | (x == scale)).all())
