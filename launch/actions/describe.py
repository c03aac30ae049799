"""Collect what is stored about one run: its configuration, its attempts, its results and its files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from launch.compose.base_config import BaseConfig
from launch.errors import LaunchError
from launch.grammar import format_value
from launch.results.configuration import leaves
from launch.store.attempts import LOG, attempt_numbers, attempt_path, find_attempt
from launch.store.files import SNAPSHOTS
from launch.store.record_json import read_record
from launch.store.records import AttemptRecord, ManifestHeader, RunRecord
from launch.store.state import State
from s5.catalog import data_hash
from s5.config.nodes import plain_values
from s5.config.plugins import load_plugins
from s5.config.search_path import conf_dirs, task_choice
from s5.errors import UserError
from s5.run_dir.result import CONFIG, METRICS, RUN, ResultError, read_result

if TYPE_CHECKING:
    from launch.store.scheduler_view import FailedStart
    from launch.store.store import SweepStore
    from launch.store.view import RunView


_NOT_COMPARED = ("seed", "plugins", "plugin_hash")


class Difference(NamedTuple):
    """A value of a run's configuration that is not the recipe's; None for a key that one of them lacks."""

    recipe: Any
    run: Any


@dataclass(frozen=True, kw_only=True)
class AttemptDetails:
    """One attempt of a run.

    Attributes:
        number: Its number, from 0.
        record: Its record; None if that cannot be read.
        commit: The commit of its code; None without git.
        snapshot: The folder with its code; None if there is no such folder.
        log: The file with what it printed.
        metrics: The file with its metrics; None if it wrote none.
    """

    number: int
    record: AttemptRecord | None
    commit: str | None
    snapshot: str | None
    log: str
    metrics: str | None


@dataclass(frozen=True, kw_only=True)
class RunDetails:
    """What is stored about one run.

    Attributes:
        view: The view of the run.
        header: The newest generation of its sweep.
        record: The identity of the run.
        config: Its configuration by dotted key.
        differences: What differs from the recipe, by dotted key; None if the recipe cannot be composed.
        problem: Why the recipe cannot be composed; "" if it can.
        result: The content of its `result.json`; empty without a result.
        attempts: Its attempts, oldest first.
    """

    view: RunView
    header: ManifestHeader
    record: RunRecord
    config: Mapping[str, Any]
    differences: Mapping[str, Difference] | None
    problem: str
    result: Mapping[str, Any]
    attempts: tuple[AttemptDetails, ...]


def describe_run(sweep: SweepStore, run_id: str) -> RunDetails:
    """Return the stored facts about a run.

    Args:
        sweep: The sweep.
        run_id: One of its runs.

    Raises:
        StoreError: If the record of the run cannot be read, or no generation lists the run.
        LaunchError: If its configuration cannot be read.
    """
    state = sweep.state()
    view = state.views([run_id])[0]
    record = read_record(RunRecord, os.path.join(view.run_dir, RUN))
    config = _read_config(Path(view.run_dir, CONFIG))
    try:
        result = read_result(Path(view.run_dir)) or {}
    except (ResultError, OSError):
        result = {}
    differences, problem = _differences(record, config)
    root, headers = str(sweep.path.parent), state.manifest.headers
    numbers = attempt_numbers(view.run_dir)
    attempts = [_attempt(root, view.run_dir, number, headers) for number in numbers]
    failed = None if view.state in (State.RUNNING, State.SUCCEEDED) else state.failed_start(run_id)
    if failed is not None and failed.record.attempt not in numbers:
        attempts.append(_not_recorded(root, failed, headers))
    return RunDetails(
        view=view,
        header=headers.get(view.generation) or state.manifest.newest_header(),
        record=record,
        config=config,
        differences=differences,
        problem=problem,
        result=result,
        attempts=tuple(attempts),
    )


def hash_data(run: RunDetails) -> str | None:
    """Return the hash of the whole content of a run's raw data, as they are now; None if there are none here."""
    name, root = (run.config.get(f"data.{key}") for key in ("name", "root"))
    return None if name is None or run.record.parameters is not None else data_hash(name, root)


def _read_config(file: Path) -> dict[str, Any]:
    import yaml  # most commands do not need it

    try:
        return dict(leaves(yaml.safe_load(file.read_text())))
    except (OSError, yaml.YAMLError) as error:
        problem = error.strerror if isinstance(error, OSError) else "not YAML"
        raise LaunchError(f"{file}: {problem}", hint="the sweep's command, typed again, writes it again") from error


def _differences(record: RunRecord, config: Mapping[str, Any]) -> tuple[dict[str, Difference] | None, str]:
    """Compare a configuration with the recipe as it is today; the seed and the plug-ins are not compared.

    Returns:
        The differences, or None and the reason if the recipe cannot be composed.
    """
    try:
        load_plugins(config.get("plugins") or ())  # the recipe may be theirs
        group, name = task_choice(record.experiment)
        composed = BaseConfig.composed(conf_dirs(), [f"{group}={format_value(name)}"])
    except UserError as error:
        return None, error.message
    recipe = dict(leaves(plain_values(composed.config)))
    keys = dict.fromkeys([*recipe, *config])
    found = {key: Difference(recipe.get(key), config.get(key)) for key in keys if key not in _NOT_COMPARED}
    return {key: one for key, one in found.items() if one.recipe != one.run}, ""


def _attempt(root: str, run_dir: str, number: int, headers: Mapping[int, ManifestHeader]) -> AttemptDetails:
    folder = attempt_path(run_dir, number)
    record = find_attempt(folder)
    metrics = os.path.join(folder, METRICS)
    return AttemptDetails(
        number=number,
        record=record,
        commit=_commit(record, headers),
        snapshot=_snapshot(root, record),
        log=os.path.join(folder, LOG),
        metrics=metrics if os.path.exists(metrics) else None,
    )


def _not_recorded(root: str, failed: FailedStart, headers: Mapping[int, ManifestHeader]) -> AttemptDetails:
    """Return the attempt of a job that ended before its run began, which has no folder yet."""
    return AttemptDetails(
        number=failed.record.attempt,
        record=failed.record,
        commit=_commit(failed.record, headers),
        snapshot=_snapshot(root, failed.record),
        log=failed.log,
        metrics=None,
    )


def _commit(record: AttemptRecord | None, headers: Mapping[int, ManifestHeader]) -> str | None:
    header = None if record is None else headers.get(record.generation)
    return None if header is None else header.commit


def _snapshot(root: str, record: AttemptRecord | None) -> str | None:
    folder = os.path.join(root, SNAPSHOTS, record.snapshot) if record is not None and record.snapshot else None
    return folder if folder is not None and os.path.isdir(folder) else None
