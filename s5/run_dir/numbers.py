"""Folders and files that are named by numbers: attempts, checkpoints, generations."""

from collections.abc import Iterable


def numbers_in(names: Iterable[str]) -> list[int]:
    """Return the numbers among some names, in rising order; other names, such as `²`, `007` or `-1`, are left out."""
    return sorted(int(name) for name in names if is_number(name))


def is_number(name: str) -> bool:
    """Return whether a name is a number from 0 in the form in which we write it."""
    return name.isascii() and name.isdigit() and (name[0] != "0" or name == "0")
