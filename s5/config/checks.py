"""Checks of values that several sections of the configuration share. Their errors name the key and its value."""

from math import isfinite
from typing import Any


def check_finite(section: str, config: Any) -> None:
    """Raise ValueError if a float of a section is nan or infinite.

    Range checks do not find nan, since every comparison with nan is false.

    Args:
        section: The section's key path, such as `model`.
        config: The section's dataclass instance.
    """
    for name, value in vars(config).items():
        if isinstance(value, float) and not isfinite(value):
            raise ValueError(f"{section}.{name}={value} must be a finite number")


def check_at_least(least: int, **values: int | float | None) -> None:
    """Raise ValueError if a value is less than `least`.

    Args:
        least: The smallest value allowed.
        values: Values by key path, with `_` in place of its dot, such as `data_prefetch`. None is valid.
    """
    for name, value in values.items():
        if value is not None and value < least:
            raise ValueError(f"{name.replace('_', '.', 1)}={value} must be at least {least}")


def check_below_power_of_two(bits: int, **values: int) -> None:
    """Raise ValueError if a value does not fit into `bits` bits. `values` has the names of `check_at_least`."""
    for name, value in values.items():
        if value >> bits:
            raise ValueError(f"{name.replace('_', '.', 1)}={value} must be below 2^{bits}")
