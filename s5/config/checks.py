"""Checks that several sections of the configuration share. Their errors name the key and its value."""

from math import isfinite
from typing import Any


def check_finite(section: str, config: Any) -> None:
    """Raise ValueError unless every float is a finite number. Comparisons let nan pass: `nan <= 0` is false."""
    for name, value in vars(config).items():
        if isinstance(value, float) and not isfinite(value):
            raise ValueError(f"{section}.{name}={value} must be a finite number")


def check_at_least(least: int, **values: int | float | None) -> None:
    """Raise ValueError unless every value is at least `least`.

    Args:
        least: The smallest value allowed.
        values: Values by key path; the first `_` of a name stands for the dot. None passes.
    """
    for name, value in values.items():
        if value is not None and value < least:
            raise ValueError(f"{name.replace('_', '.', 1)}={value} must be at least {least}")


def check_below_power_of_two(bits: int, **values: int) -> None:
    """Raise ValueError unless every value fits into `bits` bits. Names are as in `check_at_least`."""
    for name, value in values.items():
        if value >> bits:
            raise ValueError(f"{name.replace('_', '.', 1)}={value} must be below 2^{bits}")
