"""Find runs of other sweeps with the configurations and seeds of new runs: their results can be used."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from launch.store.run_result import has_result
from launch.store.stored_runs import StoredRuns
from s5.run_dir.result import RESULT

if TYPE_CHECKING:
    from launch.store.run_dirs import PlannedRun
    from launch.store.store import Store


def find_results_elsewhere(runs: Iterable[PlannedRun], sweep: str, store: Store) -> dict[str, str]:
    """Find runs of other sweeps that have succeeded and equal new runs.

    Args:
        runs: The runs that their own sweep does not have yet.
        sweep: The name of their sweep.
        store: The store with the other sweeps.

    Returns:
        Run id to the directory of the equal run with the newest result.
    """
    new = list(runs)
    found: dict[str, str] = {}
    for name in store.sweeps() if new else ():
        if name == sweep:
            continue
        folder = os.fspath(store.sweep(name).path)
        stored = StoredRuns(folder)
        for run in new:
            for other in stored.find_equal(run.record):
                run_dir = os.path.join(folder, other)
                if has_result(run_dir):
                    found[run.record.run_id] = max(run_dir, found.get(run.record.run_id, run_dir), key=_written)
    return found


def _written(run_dir: str) -> float:
    try:
        return os.stat(os.path.join(run_dir, RESULT)).st_mtime
    except OSError:
        return 0.0


def describe_results_elsewhere(found: Mapping[str, str], *, reuse: bool) -> list[str]:
    """Return a line for each sweep with results that can be used, or that `reuse` takes."""
    counts = Counter(os.path.basename(os.path.dirname(run_dir)) for run_dir in found.values())
    lines: list[str] = []
    for sweep, count in counts.items():
        of = "1 of these runs has" if count == 1 else f"{count:,} of these runs have"
        end = f"{'its result is' if count == 1 else 'their results are'} used"
        if not reuse:
            end = f"`--reuse` uses {'its result' if count == 1 else 'their results'}"
        lines.append(f"{of} succeeded in the sweep {sweep} with the same configuration and seed; {end}")
    return lines
