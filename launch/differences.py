"""What resolves differently than it did: the keys, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from launch.disk.plan import CONFIG, PlannedRun, PlanReport


def changed_keys(before: str, after: str) -> dict[str, tuple[Any, Any]]:
    """Return the keys whose values differ between two configs.

    Args:
        before: A config as YAML.
        after: Another.

    Returns:
        Dotted key to both values; None stands for a key that is not there.
    """
    import yaml  # only where something has changed

    old, new = dict(_leaves(yaml.safe_load(before))), dict(_leaves(yaml.safe_load(after)))
    keys = [*old, *(key for key in new if key not in old)]
    return {key: (old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))  # pyright: ignore[reportUnknownArgumentType]
    else:
        yield path, value


def describe_changes(report: PlanReport, runs: Sequence[PlannedRun], sweep: Path) -> list[str]:
    """Say what planning found changed, one line for each key and pair of values.

    Args:
        report: What planning did.
        runs: The planned runs.
        sweep: `runs/<sweep>`.

    Returns:
        The lines.
    """
    lines = [f"{one.file}: could not be read; written again" for one in report.rewritten if one.before is None]
    followed = [(one.run_id, one.before, one.after) for one in report.rewritten if one.before is not None]
    for (key, before, after), run_ids in _by_key(followed).items():
        lines.append(f"{key}: {before} before, {after} now, in {_runs(run_ids)}; their numbers do not depend on it")
    texts = {run.record.run_id: run for run in runs}
    moved = [(m.earlier, _read(sweep / m.earlier / CONFIG), texts[m.run_id].config_text()) for m in report.moved]
    for (key, before, after), run_ids in _by_key(moved).items():
        lines.append(
            f"{key}: {before} when these were submitted before, {after} now: {_runs(run_ids)} stay as they are, "
            "and run anew under a new id"
        )
    return lines


def _by_key(changes: Sequence[tuple[str, str | None, str]]) -> dict[tuple[str, str, str], list[str]]:
    """Return (key, before, after) to the runs in which it changed so."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for run_id, before, after in changes:
        for key, (old, new) in changed_keys(before or "", after).items() if before else [("config.yaml", ("?", "?"))]:
            found.setdefault((key, _word(old), _word(new)), []).append(run_id)
    return found


def _word(value: Any) -> str:
    return "null" if value is None else str(value)


def _runs(run_ids: Sequence[str]) -> str:
    return run_ids[0] if len(run_ids) == 1 else f"{len(run_ids)} runs such as {run_ids[0]}"


def _read(file: Path) -> str | None:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return None
