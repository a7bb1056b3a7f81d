"""A number, its error, and the features it was measured in."""

import math
from typing import NamedTuple


class Measurement(NamedTuple):
    """An estimate that may be compared with others in the same features alone.

    `a < b` compares the values, and `a - b` is their difference with the error of
    independent estimates. Two that carry no hash are taken to share their features.
    """

    value: float
    standard_error: float
    sha256: str | None = None  # of what made the features; None where it is not known

    def __lt__(self, other: tuple) -> bool:
        """Raises a ValueError if the features differ."""
        return (self - other).value < 0

    def __gt__(self, other: tuple) -> bool:
        """Raises a ValueError if the features differ."""
        return (self - other).value > 0

    def __le__(self, other: tuple) -> bool:
        """Raises a ValueError if the features differ."""
        return (self - other).value <= 0

    def __ge__(self, other: tuple) -> bool:
        """Raises a ValueError if the features differ."""
        return (self - other).value >= 0

    def __sub__(self, other: tuple) -> "Measurement":
        """Raises a ValueError if the features differ."""
        value, standard_error, sha256 = other
        if self.sha256 != sha256:
            raise ValueError(
                f"Measurements in features of {self.sha256} and of {sha256} cannot be "
                "compared: measure both in the same features."
            )
        error = math.hypot(self.standard_error, standard_error)
        return Measurement(self.value - value, error, sha256)
