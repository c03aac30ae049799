"""Report runs whose raw data changed after they succeeded: their results belong to the earlier data."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from launch.store.state import State
from s5.catalog import CATALOG, data_fingerprint, describe_difference, is_of_earlier_form, is_same_everywhere
from s5.run_dir.result import CONFIG, ResultError, read_result

if TYPE_CHECKING:
    from launch.compose.run import Run
    from launch.store.view import RunView

Data = tuple[str, str | None]  # `data.name` and `data.root`
Fingerprint = Mapping[str, Any]

_DATA = re.compile(r"^data:\n(?:[ ].*\n)*", re.MULTILINE)


def describe_changed_data(runs: Sequence[Run], views: Sequence[RunView]) -> list[str]:
    """Return a line for each data set whose raw files differ from those that runs with a result have read.

    Args:
        runs: Composed runs.
        views: Their views, in the same order.
    """
    fingerprint, is_earlier_form = cache(data_fingerprint), cache(is_of_earlier_form)  # runs mostly share their data
    found: dict[Data, list[tuple[RunView, Fingerprint]]] = {}
    for run, view in zip(runs, views, strict=True):
        if view.state is not State.SUCCEEDED or run.record.command is not None:
            continue
        before = _recorded(view.run_dir)
        if before is None:
            continue
        key = run.config["data"]["name"], run.config["data"]["root"]
        now = fingerprint(*key)
        if now is None or now["sample"] == before["sample"]:
            continue
        if not is_earlier_form(before["sample"], *key, _stored_root(view.run_dir)):
            found.setdefault(key, []).append((view, before))
    return [_line(key, members, fingerprint(*key) or {}) for key, members in found.items()]


def without_other_data(found: Mapping[str, str], runs: Sequence[Run]) -> tuple[dict[str, str], list[str]]:
    """Leave out results of equal runs that are of other data than the runs would read, or may be.

    Args:
        found: Run id to the directory of the equal run.
        runs: Composed runs, with these ids among them.

    Returns:
        The results of the same data, and a line for each folder of data that differ or cannot be compared.
    """
    configs = {run.record.run_id: run.config for run in runs if run.record.command is None}
    fingerprint, is_earlier_form = cache(data_fingerprint), cache(is_of_earlier_form)  # runs mostly share their data
    kept: dict[str, str] = {}
    other: dict[Data, list[tuple[str, Fingerprint]]] = {}
    unknown: dict[Data, list[str]] = {}
    for run_id, run_dir in found.items():
        if run_id not in configs:  # a command
            kept[run_id] = run_dir
            continue
        key: Data = configs[run_id]["data"]["name"], configs[run_id]["data"]["root"]
        before, now = _recorded(run_dir), fingerprint(*key)
        if before is not None and now is not None:
            sample = before["sample"]
            if now["sample"] == sample or is_earlier_form(sample, *key, _stored_root(run_dir)):
                kept[run_id] = run_dir
            else:
                other.setdefault(key, []).append((run_dir, before))
        elif is_same_everywhere(key[0]):
            kept[run_id] = run_dir
        else:
            unknown.setdefault(key, []).append(run_dir)
    lines = [_other_data(*key, results, fingerprint(*key) or {}) for key, results in other.items()]
    lines += [_not_comparable(*key, run_dirs, fingerprint(*key) is None) for key, run_dirs in unknown.items()]
    return kept, lines


def _stored_root(run_dir: str) -> str | None:
    """Return `data.root` in a run's config, which no submission changes once the run has a result."""
    try:
        section = _DATA.search(Path(run_dir, CONFIG).read_text())
    except (OSError, ValueError):
        return None
    return _root_in(section[0]) if section else None


@lru_cache(maxsize=64)
def _root_in(section: str) -> str | None:
    import yaml  # only if fingerprints differ

    try:
        root: str | None = yaml.safe_load(section)["data"]["root"]
    except (yaml.YAMLError, TypeError, KeyError):
        return None
    return root


def _other_data(name: str, root: str | None, results: Sequence[tuple[str, Fingerprint]], now: Fingerprint) -> str:
    (run_dir, before), *_ = results
    which, there = _equal_runs([run_dir for run_dir, _ in results]), _stored_root(run_dir)
    places = f"{there or 'the default folder'} then, {root or 'the default folder'} now; " if there != root else ""
    return f"not reused: {which} with other data (data.name={name}): {places}{describe_difference(before, now)}"


def _equal_runs(run_dirs: Sequence[str]) -> str:
    which = "an equal run has" if len(run_dirs) == 1 else f"{len(run_dirs):,} equal runs have"
    return f"{which} succeeded, such as {'/'.join(run_dirs[0].rsplit('/', 2)[-2:])},"


def _not_comparable(name: str, root: str | None, run_dirs: Sequence[str], missing: bool) -> str:
    reason = "no fingerprint of the data is stored with the result"
    if missing:
        reason = f"data.root={root} has none of its files" if root else "data.root is not set"
        reason += " and its raw files are not here" * (root is None and name in CATALOG)
    return f"not reused: {_equal_runs(run_dirs)} perhaps with other data (data.name={name}): {reason}"


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


def _line(key: Data, members: Sequence[tuple[RunView, Fingerprint]], now: Fingerprint) -> str:
    (name, root), (view, before) = key, members[0]
    runs = f"{view.run_id} has a result"
    if len(members) > 1:
        runs = f"{len(members):,} runs such as {view.run_id} have results"
    place = f"{name} ({root})" if root else name
    changed = time.strftime("%Y-%m-%d %H:%M", time.localtime(now["newest"]))
    return (
        f"data changed since: {place}: {describe_difference(before, now)}, the newest of {changed}; "
        f"{runs} of the earlier data, and will not run again; `launch rm SWEEP/RUN` deletes such results"
    )
