"""Resolve `train.init_from` and `train.extend_from`: find the run that another run starts from or continues."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from launch.errors import ConfigError, did_you_mean
from launch.sweepfile.dependencies import block_of
from s5.config import extension
from s5.config.source_run import find_source
from s5.errors import UserError

if TYPE_CHECKING:
    from launch.compose.run import Run
    from launch.sweepfile.runs import RunSpec

KEY = "train.init_from"
_EITHER = "name a block that this one comes after, or the directory of a finished run"


def resolve_source(
    config: dict[str, Any], spec: RunSpec, providers: Mapping[str, Sequence[Run]], blocks: Collection[str]
) -> tuple[dict[str, Any], str | None]:
    """Find the run that a config starts from, and set `train.init_hash`, which makes it part of the identity.

    Args:
        config: The composed config.
        spec: The run as the sweep file describes it.
        providers: The composed runs that it may wait for, by label.
        blocks: The named blocks of the sweep.

    Returns:
        The config with `train.init_hash`, and the id or the directory of the source; the same config and None if the
        run starts from random parameters.

    Raises:
        ConfigError: If no run fits, or several do.
    """
    if spec.command is not None:  # a command need not read its config
        return config, None
    config = _with_extended(config, spec)
    name = config["train"]["init_from"]
    if name is None:
        return config, None
    if name in blocks:
        source = _find_in_block(name, spec, providers)
        return _with_source(config, name, source.record.science_hash), source.record.run_id
    if "/" not in name and not os.path.isdir(name):
        raise _error(spec, f"{name!r} is neither a block nor a directory{did_you_mean(name, blocks)}", _EITHER)
    try:
        place, found = find_source(name)
    except UserError as error:
        raise _error(spec, error.message.removeprefix(f"{KEY}={name}: "), _EITHER) from error
    return _with_source(config, place, found), place


def _with_extended(config: dict[str, Any], spec: RunSpec) -> dict[str, Any]:
    """Return the config with the hash of the finished run that it extends; the same config if it extends none."""
    if config["train"].get("extend_from") is None:
        return config
    try:
        place, found = find_source(config["train"]["extend_from"], extension.KEY)
        config = {**config, "train": {**config["train"], "extend_from": place, "extend_hash": found}}
        extension.check_extension(config)
    except UserError as error:
        raise ConfigError(f"{spec.places.get(extension.KEY, spec.where)}: {error.message}", hint=error.hint) from error
    return config


def _find_in_block(name: str, spec: RunSpec, providers: Mapping[str, Sequence[Run]]) -> Run:
    """Return the only run of a block that the run waits for; raise if there is not exactly one."""
    labels = [label for label in spec.dependencies.requires if block_of(label) == name]
    if not labels:
        raise _error(
            spec,
            f"this block does not come after {name}, whose parameters it starts from",
            f"add `after: {name}`, or `after: {{{name}: [seed]}}` for its run with the same seed",
        )
    found = {run.record.run_id: run for run in providers[labels[0]]}
    for label in labels[1:]:
        found = {run.record.run_id: run for run in providers[label] if run.record.run_id in found}
    if len(found) != 1:
        raise _error(
            spec,
            f"a run comes after {len(found)} runs of {name}, but can start from only one of them",
            f"name the keys by which runs are matched, such as `after: {{{name}: [seed]}}`",
        )
    (source,) = found.values()
    if source.record.command is not None:
        raise _error(
            spec, f"the runs of {name} are commands, not trainings", "a command finds them through LAUNCH_AFTER"
        )
    return source


def _with_source(config: dict[str, Any], init_from: str, init_hash: str) -> dict[str, Any]:
    return {**config, "train": {**config["train"], "init_from": init_from, "init_hash": init_hash}}


def _error(spec: RunSpec, problem: str, hint: str) -> ConfigError:
    place = spec.places.get(KEY, spec.where)
    return ConfigError(f"{place if place.endswith(KEY) else f'{place}: {KEY}'}: {problem}", hint=hint)
