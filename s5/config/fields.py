"""Declarations of configuration fields that are not simply science that was always there."""

from dataclasses import field
from typing import Any


def not_science(default: Any) -> Any:
    """Declare a field that does not change the numbers of a run; it stays out of the run's identity."""
    return field(default=default, metadata={"science": False})


def added(default: Any) -> Any:
    """Declare a field that is younger than some stored runs; with its default a run keeps the identity it had."""
    return field(default=default, metadata={"added": True})


REQUIRED: Any = "???"
"""The default of a field that the YAML or an override must give, such as the layer of a model made of layers."""
