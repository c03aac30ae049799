"""Tell of raw data that have changed since runs succeeded: their results are of other data than those of today."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from launch.store.state import State
from s5.catalog import data_fingerprint
from s5.run_dir.result import ResultError, read_result

if TYPE_CHECKING:
    from launch.compose.run import Run
    from launch.store.view import RunView


def describe_changed_data(runs: Sequence[Run], views: Sequence[RunView]) -> list[str]:
    """Return a line for each data set whose raw files differ from those that runs with a result have read.

    Args:
        runs: Composed runs.
        views: Their views, in the same order.
    """
    fingerprint = cache(data_fingerprint)  # the runs of a sweep mostly share their data
    found: dict[tuple[str, str | None], list[tuple[RunView, Mapping[str, Any]]]] = {}
    for run, view in zip(runs, views, strict=True):
        if view.state is not State.SUCCEEDED or run.record.command is not None:
            continue
        before = _recorded(view.run_dir)
        if before is None:
            continue
        key = run.config["data"]["name"], run.config["data"]["root"]
        now = fingerprint(*key)
        if now is not None and now["sample"] != before["sample"]:
            found.setdefault(key, []).append((view, before))
    return [_line(key, members, fingerprint(*key) or {}) for key, members in found.items()]


def without_other_data(found: Mapping[str, str], runs: Sequence[Run]) -> dict[str, str]:
    """Return the results of equal runs, without those that are of other data than the runs would read.

    Args:
        found: Run id to the directory of the equal run.
        runs: Composed runs, with these ids among them.
    """
    configs = {run.record.run_id: run.config for run in runs if run.record.command is None}
    fingerprint = cache(data_fingerprint)  # the runs of a sweep mostly share their data
    kept: dict[str, str] = {}
    for run_id, run_dir in found.items():
        before = _recorded(run_dir)
        data = configs[run_id]["data"] if before is not None and run_id in configs else None
        now = fingerprint(data["name"], data["root"]) if data is not None else None
        if before is None or now is None or now["sample"] == before["sample"]:
            kept[run_id] = run_dir
    return kept


def _recorded(run_dir: str) -> Mapping[str, Any] | None:
    """Return the fingerprint of the data that a run has read; None if it has none, as of an older version."""
    try:
        result = read_result(Path(run_dir)) or {}
    except (ResultError, OSError):
        return None
    found = result.get("data")
    if not isinstance(found, dict):
        return None
    record = cast("dict[str, Any]", found)
    return record if isinstance(record.get("sample"), str) else None


def _line(
    key: tuple[str, str | None], members: Sequence[tuple[RunView, Mapping[str, Any]]], now: Mapping[str, Any]
) -> str:
    (name, root), (view, before) = key, members[0]
    runs = f"{view.run_id} has a result"
    if len(members) > 1:
        runs = f"{len(members):,} runs such as {view.run_id} have results"
    place = f"{name} ({root})" if root else name
    changed = time.strftime("%Y-%m-%d %H:%M", time.localtime(now["newest"]))
    return (
        f"data changed since: {place}: {_size(before)} before, {_size(now)} now, the newest of {changed}; "
        f"{runs} of the earlier data, and will not run again; `launch rm` deletes such results"
    )


def _size(found: Mapping[str, Any]) -> str:
    files = found.get("files")
    return f"{files} file{'' if files == 1 else 's'} of {found.get('bytes', 0):,} bytes"
