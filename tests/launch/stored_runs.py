"""Runs on the disk, made through the store: planned, listed, attempted."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.specs.resources import Resources
from launch.store.claims import claim_attempt
from launch.store.processes import boot_id, host
from launch.store.records import AttemptRecord, ManifestEntry, ManifestHeader, RunRecord
from launch.store.store import SweepStore

GONE = 4_000_000  # above the largest pid there can be


@dataclass(frozen=True)
class Plan:
    """A run to be stored."""

    record: RunRecord
    text: str = "model:\n  dropout: 0.0\nwandb:\n  mode: disabled\n"

    @property
    def settings(self) -> dict[str, Any]:
        return self.record.settings

    def config_text(self) -> str:
        return self.text


def plan_of(number: int = 0, **facts: object) -> Plan:
    known: dict[str, object] = {
        "run_id": f"digits-lr={number}-s0-{number:08x}",
        "experiment": "digits",
        "overrides": (f"optim.lr={number}",),
        "settings": {"optim.lr": number},
        "seed": 0,
        "science_version": 1,
        "science_hash": f"{number:064x}",
    }
    return Plan(RunRecord(**(known | facts)))  # type: ignore[arg-type]


def entries_of(plans: Sequence[Plan]) -> list[ManifestEntry]:
    return [
        ManifestEntry(
            run_id=plan.record.run_id,
            experiment=plan.record.experiment,
            settings=plan.record.settings,
            seed=plan.record.seed,
            resources=Resources(),
        )
        for plan in plans
    ]


HEADER = ManifestHeader(
    sweep="a",
    generation=0,
    why="submit",
    file=None,
    backend="local",
    profile="local",
    runtime="bare",
    snapshot=None,
    metric="test/accuracy",
    retry={},
    published=(),
    created=1.0,
)

RECORD = AttemptRecord(
    attempt=0,
    generation=1,
    backend="local",
    profile="local",
    runtime="bare",
    image=None,
    snapshot=None,
    resources=Resources(),
    command=("true",),
    threads=1,
    devices=(0,),
    host=host(),
    boot_id=boot_id(),
    pid=GONE,
    pid_start=1,
    job_id=None,
    started=1.0,
)


def listed(sweep: SweepStore, count: int = 1) -> list[Plan]:
    """Plan and freeze some runs."""
    plans = [plan_of(number) for number in range(count)]
    sweep.write_run_dirs(plans)
    sweep.freeze(HEADER, entries_of(plans))
    return plans


def attempted(sweep: SweepStore, plan: Plan, record: AttemptRecord = RECORD) -> Path:
    """Put an attempt on the disk of which nobody holds the lock."""
    claim = claim_attempt(str(sweep.run_dir(plan.record.run_id)), record.attempt, record)
    assert claim is not None
    os.close(claim.lock)
    return Path(claim.path)


def tree(root: Path) -> dict[str, object]:
    """Return every path under a folder with its content and time."""
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None) for path in root.rglob("*")
    }
