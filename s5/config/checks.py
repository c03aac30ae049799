"""Checks of values that several sections of the configuration share. Their errors name the key and its value."""

import dataclasses
from math import isfinite
from typing import Any

from s5.config.choices import Choice

MOST_FLOAT = 1e30  # float32 ends at 3.4e38, and would be infinite after a few operations
_BITS = 31  # sizes and counts are 32 bit numbers in XLA


def take_names(section: str, config: Any) -> None:
    """Replace the text of a choice, such as "layer" for a norm, by the member that it names.

    Hydra does so too; this is for a section that is made in Python.

    Args:
        section: The section's key path, such as `model`.
        config: The section's dataclass instance.

    Raises:
        ValueError: If a text names no member.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, str) and isinstance(field.type, type) and issubclass(field.type, Choice):
            try:
                setattr(config, field.name, field.type(value))
            except ValueError as error:
                raise ValueError(f"{section}.{field.name}: {error}") from None


def check_finite(section: str, config: Any) -> None:
    """Raise ValueError if a number of a section is nan, infinite, or larger than any that can be computed with.

    Range checks do not find nan, since every comparison with nan is false. Seeds may have more bits than other numbers.

    Args:
        section: The section's key path, such as `model`.
        config: The section's dataclass instance.
    """
    for name, value in vars(config).items():
        if isinstance(value, float) and not isfinite(value):
            raise ValueError(f"{section}.{name}={value} must be a finite number")
        if isinstance(value, float) and abs(value) > MOST_FLOAT:
            raise ValueError(f"{section}.{name}={value} must be between -{MOST_FLOAT:g} and {MOST_FLOAT:g}")
        if isinstance(value, int) and abs(value) >> _BITS and not name.endswith("seed"):
            raise ValueError(f"{section}.{name}={value} must be below 2^{_BITS}")


def check_at_least(least: int, **values: int | float | None) -> None:
    """Raise ValueError if a value is less than `least`.

    Args:
        least: The smallest value allowed.
        values: Values by key path, with `_` in place of its dot, such as `data_prefetch`. None is valid.
    """
    for name, value in values.items():
        if value is not None and value < least:
            raise ValueError(f"{name.replace('_', '.', 1)}={value} must be at least {least}")


def check_at_most(most: int | float, **values: int | float | None) -> None:
    """Raise ValueError if a value is more than `most`. `values` has the names of `check_at_least`."""
    for name, value in values.items():
        if value is not None and value > most:
            raise ValueError(f"{name.replace('_', '.', 1)}={value} must be at most {most}")


def check_below_power_of_two(bits: int, **values: int) -> None:
    """Raise ValueError if a value does not fit into `bits` bits. `values` has the names of `check_at_least`."""
    for name, value in values.items():
        if value >> bits:
            raise ValueError(f"{name.replace('_', '.', 1)}={value} must be below 2^{bits}")
