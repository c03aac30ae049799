"""Declarations of configuration fields that are left out of a run's identity, always or at their default."""

from dataclasses import field
from typing import Any


def not_science(default: Any) -> Any:
    """Declare a field that does not change the results of a run; it is never part of the run's identity."""
    return field(default=default, metadata={"science": False})


def added(default: Any) -> Any:
    """Declare a field that was added after runs had been stored; at its default it is not part of the identity."""
    return field(default=default, metadata={"added": True})


REQUIRED: Any = "???"
"""The default of a field that a YAML file or an override must set, such as `layer` of a model made of layers."""
