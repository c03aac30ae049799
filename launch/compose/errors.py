"""Errors in a run's config, with the place in the sweep file that the user must correct."""

from __future__ import annotations

import re
from pathlib import Path

from launch.compose.plugin_hint import with_plugins
from launch.errors import ConfigError
from launch.grammar import format_value
from launch.specs.resources import Resources
from launch.sweepfile.runs import RunSpec
from s5.config.errors import InvalidConfig
from s5.config.search_path import PIPELINE
from s5.errors import UserError, nearest

COMMAND_LINE = "command line"  # the place of what follows the file or the experiment
_LAUNCHER_WORDS = ("seeds", *(f"resources.{key}" for key in Resources().to_json()))
_UNKNOWN = re.compile(r"unknown \w+ '([^']+)'")  # as `s5.config.errors.unknown_option_error` says it


def located_error(spec: RunSpec, error: UserError) -> ConfigError:
    """Return the error for an invalid config, with its place in the sweep file or in the recipe."""
    if not isinstance(error, InvalidConfig) or not error.key:
        in_recipe = isinstance(error, InvalidConfig) and error.file
        return ConfigError(error.message if in_recipe else f"{spec.where}: {error.message}", hint=error.hint)
    place = error.file or _place(spec, error.key)
    head = place if place.endswith(error.key) else f"{place}: {error.key}"
    hint, unknown = error.hint, _UNKNOWN.match(error.problem)
    if unknown is not None and (error.key in ("experiment", PIPELINE) or error.key.split("/")[0] == "model"):
        hint = with_plugins(hint, error.key, unknown[1], sweep_folder(spec))
    problem = error.problem
    if place == COMMAND_LINE and problem.startswith("unknown key") and hint and hint.startswith("the keys are"):
        near = nearest(error.key, [*_LAUNCHER_WORDS, *re.findall(r"did you mean (\S+)\?", problem)])
        problem = f"unknown key; did you mean {near}?" if near else problem
        hint = f"{hint}; here also seeds and resources.…"
    return ConfigError(f"{head}: {problem}", hint=hint)


def sweep_folder(spec: RunSpec) -> tuple[Path, ...]:
    """Return the folder of the run's sweep file; nothing for a run of the command line."""
    file = spec.where.partition(":")[0]
    return (Path(file).parent,) if file.endswith((".yaml", ".yml")) else ()


def combination_error(spec: RunSpec, reason: str) -> ConfigError:
    """Return the error for values that are allowed alone, but not together."""
    named = [key for key in spec.places if key in reason]
    place = spec.places[named[-1]] if named else spec.where
    varied = {key: value for key, value in spec.settings.items() if key in reason}
    hint = None
    if varied:
        rule = ", ".join(f"{key}: {format_value(value)}" for key, value in varied.items())
        hint = f"to leave such runs out: `exclude: [{{{rule}}}]`"
    return ConfigError(f"{place}: {reason}", hint=hint)


def _place(spec: RunSpec, key: str) -> str:
    """Return the place that sets the key or a section around it."""
    while key not in spec.places and "." in key:
        key = key.rpartition(".")[0]
    return spec.places.get(key, spec.where)
