"""A sweep as it lies on the disk, made through the store: runs in every state without running any."""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launch.specs.resources import Resources
from launch.store.cancel_mark import write_cancelled
from launch.store.processes import boot_id, host, start_time
from launch.store.record_json import to_json
from launch.store.records import AttemptRecord, ManifestEntry, ManifestHeader, PublishedNumber, RunRecord
from launch.store.state import Reason, State
from launch.store.store import Store, SweepStore
from s5.run_dir.result import publish, write_result


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A run to be stored."""

    record: RunRecord

    @property
    def settings(self) -> dict[str, Any]:
        return self.record.settings

    def config_text(self) -> str:
        return f"seed: {self.record.seed}\n"


@dataclass(frozen=True, kw_only=True)
class Made:
    """One run of a made sweep."""

    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    state: State = State.PLANNED
    accuracy: float | None = None
    reason: Reason | None = None
    message: str | None = None
    experiment: str = "digits/s5"
    log: str = ""
    attempts: int = 1


def make_sweep(
    root: Path,
    name: str,
    runs: Sequence[Made],
    *,
    file: str | None = None,
    published: Sequence[PublishedNumber] = (),
    snapshot: str | None = None,
) -> SweepStore:
    """Write a sweep of so many runs under `root`."""
    sweep = Store(root).sweep(name)
    records = [_record(made) for made in runs]
    sweep.write_run_dirs([Planned(record=record) for record in records])
    header = ManifestHeader(
        sweep=name,
        generation=0,
        why="submit",
        file=file,
        backend="local",
        profile="local",
        runtime="bare",
        snapshot=snapshot,
        metric="test/accuracy",
        retry={},
        published=tuple(published),
        created=time.time(),
    )
    sweep.freeze(
        header,
        [
            ManifestEntry(
                run_id=record.run_id,
                experiment=record.experiment,
                settings=record.settings,
                seed=record.seed,
                resources=Resources(),
            )
            for record in records
        ],
    )
    for record, made in zip(records, runs, strict=True):
        _write_state(sweep.run_dir(record.run_id), made)
    return sweep


def run_id_of(made: Made) -> str:
    slug = "-".join(f"{key}={value}" for key, value in made.settings.items())
    return f"{made.experiment.replace('/', '-')}-{slug + '-' if slug else ''}s{made.seed}-00000000"


def _record(made: Made) -> RunRecord:
    return RunRecord(
        run_id=run_id_of(made),
        experiment=made.experiment,
        overrides=(),
        settings=made.settings,
        seed=made.seed,
        science_version=1,
        science_hash="0" * 64,
    )


def _write_state(run_dir: Path, made: Made) -> None:
    if made.state == State.CANCELLED:
        write_cancelled(str(run_dir), 1)
    if made.state in (State.PLANNED, State.PENDING, State.CANCELLED):
        return
    for attempt in range(made.attempts):
        _write_attempt(run_dir / "attempts" / str(attempt), made, attempt, last=attempt == made.attempts - 1)


def _write_attempt(folder: Path, made: Made, attempt: int, *, last: bool) -> None:
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text(made.log)
    live = made.state in (State.RUNNING, State.LOST)
    record = AttemptRecord(
        attempt=attempt,
        generation=1,
        backend="local",
        profile="local",
        runtime="bare",
        image=None,
        snapshot=None,
        resources=Resources(),
        command=("python",),
        threads=1,
        devices=(0,),
        host=host(),
        boot_id=boot_id(),
        pid=os.getpid() if made.state == State.RUNNING else 2**22 + 1,
        pid_start=start_time(os.getpid()) or 0 if made.state == State.RUNNING else 0,
        job_id=None,
        started=1000.0,
        ended=None if live and last else 1090.0,
        reason=None if live and last else made.reason or _REASONS.get(made.state, Reason.INTERRUPTED),
        exit_code=None,
        message=made.message,
    )
    (folder / "attempt.json").write_text(json.dumps(to_json(record)))
    if made.state == State.RUNNING:
        (folder / "timing.jsonl").write_text('{"step": 25, "of": 100}\n')
    if made.state == State.SUCCEEDED and last:
        write_result(folder, {} if made.accuracy is None else {"test/accuracy": made.accuracy})
        publish(folder)


_REASONS = {State.SUCCEEDED: Reason.SUCCESS, State.FAILED: Reason.CRASH, State.PREEMPTED: Reason.INTERRUPTED}
