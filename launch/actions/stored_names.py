"""Give composed runs the ids under which they are stored, so that an edit of a sweep file repeats no run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from launch.store.stored_runs import StoredRuns, choose_view

if TYPE_CHECKING:
    from launch.compose.run import Run
    from launch.store.sweep_state import SweepState


def with_stored_names(runs: Sequence[Run], state: SweepState) -> list[Run]:
    """Return the runs, each with the id of its stored run if the sweep has one of the same identity.

    Args:
        runs: The composed runs of the sweep, with the ids that today's sweep file gives them.
        state: The stored state of the sweep.
    """
    stored = StoredRuns(state.folder)
    ids: dict[str, str] = {}
    for run in runs:
        own, found = run.record.run_id, stored.find(run.record)
        if found and found != [own]:
            ids[own] = _choose(found, own, state)
    if not ids:
        return list(runs)
    return [
        replace(
            run,
            record=replace(run.record, run_id=ids.get(run.record.run_id, run.record.run_id)),
            source=ids.get(run.source, run.source) if run.source else None,
        )
        for run in runs
    ]


def _choose(found: Sequence[str], own: str, state: SweepState) -> str:
    """Return one of several ids of one identity: that of the run that counts in the results."""
    if len(found) == 1:
        return found[0]
    listed = [run_id for run_id in found if run_id in state.manifest.listed]
    if listed:
        return choose_view(state.views(listed)).run_id
    return own if own in found else found[0]
