"""The configuration of a run that executes a program with its own parameters, without a recipe."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from launch.errors import ConfigError, LaunchError
from launch.grammar import Change, Override
from launch.specs.parameters import PROGRAM, SEED, fill
from launch.sweepfile.runs import RunSpec


def is_program(spec: RunSpec) -> bool:
    """Return whether a run executes a program with its own parameters."""
    return spec.command is not None and spec.experiment == PROGRAM


def program_parameters(spec: RunSpec, overrides: Sequence[Override]) -> dict[str, Any]:
    """Return the parameters of a program by dotted name, sorted: their order in the file changes nothing.

    Raises:
        ConfigError: If an override does not set a value, a name is inside another, or the command names a parameter
            that does not exist.
    """
    parameters: dict[str, Any] = {}
    for override in overrides:
        if override.key == SEED:
            continue
        place = spec.places.get(override.key, spec.where)
        if override.change is not Change.SET or override.package is not None:
            raise ConfigError(f"{place}: {override.text}: a parameter of a command is set as NAME=VALUE")
        inside = next((name for name in parameters if _is_inside(name, override.key)), None)
        if inside is not None:
            raise ConfigError(f"{place}: {override.key} and {inside} are both set, and one is inside the other")
        parameters[override.key] = override.value
    try:
        fill(spec.command or (), parameters, spec.seed, os.getcwd())
    except LaunchError as error:
        raise ConfigError(f"{spec.where}: command: {error.message}", hint=error.hint) from error
    return dict(sorted(parameters.items()))


def program_config(parameters: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return the content of `config.yaml`: the seed and the parameters, nested by their dots."""
    config: dict[str, Any] = {SEED: seed}
    for name, value in parameters.items():
        section = config
        *path, last = name.split(".")
        for part in path:
            section = section.setdefault(part, {})
        section[last] = value
    return config


def program_hash(config: Mapping[str, Any]) -> str:
    """Return the hash of a program's seed and parameters, whatever their order."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(f'{{"parameters":{text}}}'.encode()).hexdigest()


def _is_inside(one: str, other: str) -> bool:
    return one != other and (one.startswith(f"{other}.") or other.startswith(f"{one}."))
