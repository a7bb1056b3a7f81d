"""Does the likelihood give the data a probability at all? Asked before training."""

import numpy as np

from vaejax.data.dataset import DataError, Dataset, Split

SUPPORTS = ("binary", "unit_interval", "levels", "counts", "real")
BINARIZATIONS = ("none", "dynamic", "threshold")


def check_support(
    data: Split | Dataset,
    support: str,
    binarize: str,
    *,
    scale: float | None = None,
    num_values: int | None = None,
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
      support: `binary` {0, 1}, `unit_interval` [0, 1], `levels` (k / (L - 1) for k = 0,
        ..., L - 1), `counts` (non-negative integers, seen as stored) or `real`.
      binarize: `none`, `dynamic` or `threshold`.
      scale: the value that means 1.0; required for a split, of which it is no part.
      num_values: L, or how many counts there are from 0 on; `Distribution.num_values`.

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
        check_values(part.image, support, binarize, scale, name, field, num_values)
        for field, part in parts.items()
        if part is not None and len(part.image)
    ]
    return all(inside)


def check_values(
    x: np.ndarray,
    support: str,
    binarize: str,
    scale: float,
    name: str,
    field: str,
    num_values: int | None = None,
) -> bool:
    """Check one array; see `check_support`."""
    if binarize == "none":
        if support == "real":
            return True  # finite, or it would not have been loaded
        if support == "counts":
            if x.dtype.kind in "biu" or (x.min() >= 0 and (x == np.round(x)).all()):
                check_largest(x, num_values, name, field)
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
    if binarize != "none" or x.dtype == np.bool_:
        return True
    if support == "levels" and num_values is not None:
        check_levels(x, num_values, scale, name, field)
    return support != "binary" or is_binary(x, scale)


def is_binary(x: np.ndarray, scale: float) -> bool:
    """Whether all values are 0 or 1, as a model sees them."""
    return bool(((x == 0) | (x == scale)).all())


def check_largest(x: np.ndarray, num_values: int | None, name: str, field: str) -> None:
    """Raise `DataError` for a count beyond those that the likelihood knows."""
    high = int(x.max())
    if num_values is not None and high >= num_values:
        expected = f"counts from 0 to {num_values - 1}"
        remedy = f"Set num_categories to {high + 1} or more, or total_count to {high}."
        raise DataError(name, field, expected, f"values up to {high}", remedy)


def check_levels(
    x: np.ndarray, num_levels: int, scale: float, name: str, field: str
) -> None:
    """Raise `DataError` unless the grey levels of the data are the likelihood's.

    Integers have scale + 1 levels, and another number would be a likelihood of values
    that cannot occur; 0 and scale are levels of any number.
    """
    if x.dtype.kind == "f":
        place = x.astype(float) / scale * (num_levels - 1)
        fits = np.abs(place - np.round(place)).max() <= 1e-6 * num_levels  # of float32
        got = "values between them"
        remedy = (
            "Save the images as integers, set num_levels to theirs, or choose a "
            "likelihood of real values, such as continuous_bernoulli."
        )
    else:
        own = round(scale)
        fits = num_levels == own + 1 or is_binary(x, scale)
        got = f"integers from 0 to {own}"
        remedy = (
            f"Set num_levels to {own + 1} (num_categories to {own + 1}, or total_count "
            f"to {own})."
        )
    if not fits:
        raise DataError(name, field, f"{num_levels} levels of grey", got, remedy)
