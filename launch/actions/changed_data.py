"""Report runs whose raw data changed after they succeeded: their results belong to the earlier data."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from launch.store.state import State
from s5.catalog import CATALOG, data_fingerprint, is_same_everywhere
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


def without_other_data(found: Mapping[str, str], runs: Sequence[Run]) -> tuple[dict[str, str], list[str]]:
    """Leave out results of equal runs that are of other data than the runs would read, or may be.

    Args:
        found: Run id to the directory of the equal run.
        runs: Composed runs, with these ids among them.

    Returns:
        The results of the same data, and a line for each folder of data that cannot be compared.
    """
    configs = {run.record.run_id: run.config for run in runs if run.record.command is None}
    fingerprint = cache(data_fingerprint)  # the runs of a sweep mostly share their data
    kept: dict[str, str] = {}
    unknown: dict[tuple[str, str | None], list[str]] = {}
    for run_id, run_dir in found.items():
        data = configs[run_id]["data"] if run_id in configs else None
        before = _recorded(run_dir)
        now = fingerprint(data["name"], data["root"]) if data is not None else None
        if before is not None and now is not None:
            if now["sample"] == before["sample"]:
                kept[run_id] = run_dir
        elif data is None or is_same_everywhere(data["name"]):
            kept[run_id] = run_dir
        else:
            unknown.setdefault((data["name"], data["root"]), []).append(run_dir)
    return kept, [_not_comparable(*key, run_dirs, fingerprint(*key) is None) for key, run_dirs in unknown.items()]


def _not_comparable(name: str, root: str | None, run_dirs: Sequence[str], missing: bool) -> str:
    count = len(run_dirs)
    which = "an equal run has" if count == 1 else f"{count:,} equal runs have"
    reason = "no fingerprint of the data is stored with the result"
    if missing:
        reason = f"data.root={root} has none of its files" if root else "data.root is not set"
        reason += " and its raw files are not here" * (root is None and name in CATALOG)
    return (
        f"not reused: {which} succeeded, such as {'/'.join(run_dirs[0].rsplit('/', 2)[-2:])}, perhaps with other data "
        f"(data.name={name}): {reason}"
    )


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
