"""Runs on disk, written by the store: planned, in a manifest, or with an attempt."""

import os
from collections.abc import Sequence
from pathlib import Path

from launch.store.claims import claim_attempt
from launch.store.records import AttemptRecord, ManifestEntry
from launch.store.run_dirs import PlannedRun, RunDirPlan, plan_run_dirs, write_run_dirs
from launch.store.store import SweepStore
from tests.launch.records import Planned, attempt_record, manifest_entry, manifest_header, run_record

HEADER = manifest_header()
RECORD = attempt_record()


def plan_of(number: int = 0, **facts: object) -> Planned:
    known: dict[str, object] = {
        "run_id": f"digits-lr={number}-s0-{number:08x}",
        "overrides": (f"optim.lr={number}",),
        "settings": {"optim.lr": number},
        "science_hash": f"{number:064x}",
    }
    return Planned(run_record(**(known | facts)))


def entries_of(plans: Sequence[Planned]) -> list[ManifestEntry]:
    return [manifest_entry(plan.record) for plan in plans]


def write_runs(sweep: SweepStore, runs: Sequence[PlannedRun]) -> RunDirPlan:
    """Make the directories of runs, and return what was written."""
    plan = plan_run_dirs(str(sweep.path), sweep.state().manifest, runs)
    write_run_dirs(str(sweep.path), plan)
    return plan


def listed(sweep: SweepStore, count: int = 1) -> list[Planned]:
    """Plan and freeze some runs."""
    plans = [plan_of(number) for number in range(count)]
    write_runs(sweep, plans)
    sweep.state().freeze(HEADER, entries_of(plans))
    return plans


def attempted(sweep: SweepStore, plan: Planned, record: AttemptRecord = RECORD) -> Path:
    """Write an attempt whose lock is free."""
    claim = claim_attempt(str(sweep.run_dir(plan.record.run_id)), record.attempt, record)
    assert claim is not None
    os.close(claim.lock)
    return Path(claim.path)


def tree(root: Path) -> dict[str, object]:
    """Return every path under a folder with its content and time."""
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None) for path in root.rglob("*")
    }
