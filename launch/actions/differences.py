"""Describe the keys of a config whose values have changed since the run was stored, with both values."""

from __future__ import annotations

from binascii import crc32
from collections.abc import Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

from launch.actions import plugin_edits
from launch.errors import StoreError
from launch.results.configuration import leaves
from launch.store.attempts import attempt_path, find_attempt
from launch.store.record_json import read_record
from launch.store.records import RunRecord
from launch.store.run_dirs import PlannedRun, RunDirPlan, same_config
from launch.store.state import Reason, State
from launch.store.view import RunView
from s5.config.identity import is_science
from s5.run_dir.result import CONFIG, RUN


def changed_keys(before: str, after: str, *, spelling: bool = False) -> dict[str, tuple[Any, Any]]:
    """Return the keys whose values differ between two configs in YAML.

    Args:
        before: The old config.
        after: The new config.
        spelling: Whether 1 and 1.0 differ too, as they do for a program, which gets them as words.

    Returns:
        Dotted key to the old and the new value; None for a key that is missing.
    """
    import yaml  # only if something has changed

    old, new = dict(leaves(yaml.safe_load(before))), dict(leaves(yaml.safe_load(after)))
    keys = [*old, *(key for key in new if key not in old)]
    found = {key: (old.get(key), new.get(key)) for key in keys}
    return {key: (a, b) for key, (a, b) in found.items() if a != b or (spelling and str(a) != str(b))}


def describe_changes(
    plan: RunDirPlan, runs: Sequence[PlannedRun], sweep: str, *, from_file: bool = True, plugins: Sequence[str] = ()
) -> list[str]:
    """Describe the changes since the runs were stored, one line for each key and pair of values.

    Args:
        plan: The files to be written.
        runs: The planned runs.
        sweep: The sweep's folder, `runs/<sweep>`.
        from_file: Whether the runs come from a sweep file. Without a file, a run with other overrides is a different
            run, not a change of an earlier run.
        plugins: The plug-ins of the sweep: folders, or names of entry points.
    """
    readable = [repair for repair in plan.repairs if repair.before is not None and _is_yaml(repair.before)]
    lines = [
        f"{repair.file}: cannot be read, and is written again" for repair in plan.repairs if repair not in readable
    ]
    for (key, before, after), run_ids in _by_key([(each.run_id, each.before, each.after) for each in readable]).items():
        lines.append(f"{key}: {before} before, {after} now, in {_runs(run_ids)}; {_effect(key)}")
    texts = {run.record.run_id: run for run in runs}
    programs = {one.earlier for one in plan.changed if texts[one.run_id].record.parameters is not None}
    changed = [
        (one.earlier, _read(Path(sweep, one.earlier, CONFIG)), texts[one.run_id].config_text())
        for one in plan.changed
        if from_file or _overrides(Path(sweep, one.earlier)) == _typed(texts[one.run_id].record.overrides)
    ]
    trainings = [(before, after) for run_id, before, after in changed if before and run_id not in programs]
    for (key, before, after), run_ids in _by_key(changed, programs).items():
        if key in plugin_edits.KEYS and not programs.issuperset(run_ids):
            continue
        many = len(run_ids) > 1
        lines.append(
            f"{key}: {before} when {'these runs were' if many else 'this run was'} submitted, {after} now: "
            f"{_runs(run_ids)} {'stay as they are' if many else 'stays as it is'}; the new value runs under a new id"
        )
    lines += plugin_edits.describe_edited_plugins(trainings, plugins)
    return lines


def changed_since_failure(views: Sequence[RunView], runs: Sequence[PlannedRun]) -> list[RunView]:
    """Return the views of runs that failed because of their config (`user_error`) and whose config has changed since.

    Args:
        views: The views of runs.
        runs: The same runs with their configs of today.
    """
    configs = {run.record.run_id: run for run in runs}
    failed = [view for view in views if view.state is State.FAILED and view.reason is Reason.USER_ERROR]
    return [view for view in failed if _saw_other_config(view, configs[view.run_id].config_text())]


def _saw_other_config(view: RunView, config: str) -> bool:
    record = find_attempt(attempt_path(view.run_dir, view.attempts - 1))
    today = config.encode()
    with suppress(OSError):
        stored = Path(view.run_dir, CONFIG).read_bytes()
        today = stored if same_config(stored, today) else today
    return record is not None and record.config_crc not in (None, crc32(today))


def describe_restarts(run_ids: Sequence[str]) -> list[str]:
    """Return one line that says which failed runs are started again, and why; an empty list without such runs."""
    if not run_ids:
        return []
    many = len(run_ids) > 1
    return [
        f"{_runs(run_ids)} ended with {Reason.USER_ERROR} under a {CONFIG} that has changed since: "
        f"{'they are' if many else 'it is'} started again"
    ]


def _effect(key: str) -> str:
    """Return the effect that a changed key has on a run that keeps its id."""
    if is_science(key):
        # The run id is a hash of such keys, so no submission can have written the other value.
        return "config.yaml does not fit the run id, since it was edited by hand; the file is corrected"
    return "their numbers do not depend on it"


def _is_yaml(text: str) -> bool:
    import yaml  # only if something has changed

    try:
        return isinstance(yaml.safe_load(text), dict)
    except yaml.YAMLError:
        return False


def _overrides(run_dir: Path) -> tuple[str, ...] | None:
    with suppress(StoreError):
        return _typed(read_record(RunRecord, str(run_dir / RUN)).overrides)
    return None


def _typed(overrides: Sequence[str]) -> tuple[str, ...]:
    """Return overrides without those that `apply_plugins` adds: an edit of a plug-in changes them."""
    return tuple(text for text in overrides if text.partition("=")[0] not in plugin_edits.KEYS)


def _by_key(
    changes: Sequence[tuple[str, str | None, str]], programs: Set[str] = frozenset()
) -> dict[tuple[str, str, str], list[str]]:
    """Group changes of runs by (key, before, after); for a program, 1.0 is a change of 1."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for run_id, before, after in changes:
        keys = changed_keys(before, after, spelling=run_id in programs) if before else {"config.yaml": ("?", "?")}
        for key, (old, new) in keys.items():
            found.setdefault((key, _word(old), _word(new)), []).append(run_id)
    return found


def _word(value: Any) -> str:
    return "null" if value is None else str(value)


def _runs(run_ids: Sequence[str]) -> str:
    return run_ids[0] if len(run_ids) == 1 else f"{len(run_ids)} runs such as {run_ids[0]}"


def _read(file: Path) -> str | None:
    try:
        text = file.read_text(errors="replace")
    except OSError:
        return None
    return text if _is_yaml(text) else None
