"""A sweep on disk, written by the store: runs in every state, none of them executed."""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from launch.store.cancel_mark import write_cancelled
from launch.store.processes import start_time
from launch.store.record_json import to_json
from launch.store.records import PublishedNumber, RunRecord
from launch.store.state import Reason, State
from launch.store.store import Store, SweepStore
from s5.run_dir.result import publish, write_result
from tests.launch.records import GONE, Planned, attempt_record, manifest_entry, manifest_header, run_record
from tests.launch.stored_runs import write_runs


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
    """Write a sweep of these runs under `root`."""
    sweep = Store(root).sweep(name)
    records = [_record(made) for made in runs]
    write_runs(sweep, [Planned(record, f"seed: {record.seed}\n") for record in records])
    header = manifest_header(sweep=name, file=file, snapshot=snapshot, published=tuple(published), created=time.time())
    sweep.state().freeze(header, [manifest_entry(record) for record in records])
    for record, made in zip(records, runs, strict=True):
        write_state(sweep.run_dir(record.run_id), made)
    return sweep


def run_id_of(made: Made) -> str:
    slug = "-".join(f"{key}={value}" for key, value in made.settings.items())
    return f"{made.experiment.replace('/', '-')}-{slug + '-' if slug else ''}s{made.seed}-00000000"


def _record(made: Made) -> RunRecord:
    run_id = run_id_of(made)
    # The ids of all runs end with the same digits; their hashes differ.
    science_hash = sha256(run_id.encode()).hexdigest()
    return run_record(
        run_id=run_id,
        experiment=made.experiment,
        settings=made.settings,
        seed=made.seed,
        science_hash=science_hash,
    )


def write_state(run_dir: Path, made: Made) -> None:
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
    running = made.state == State.RUNNING
    record = attempt_record(
        attempt=attempt,
        pid=os.getpid() if running else GONE,
        pid_start=start_time(os.getpid()) or 0 if running else 0,
        started=1000.0,
        ended=None if live and last else 1090.0,
        reason=None if live and last else made.reason or _REASONS.get(made.state, Reason.INTERRUPTED),
        message=made.message,
    )
    (folder / "attempt.json").write_text(json.dumps(to_json(record)))
    if running:
        (folder / "timing.jsonl").write_text('{"step": 25, "of": 100}\n')
    if made.state == State.SUCCEEDED and last:
        write_result(folder, {} if made.accuracy is None else {"test/accuracy": made.accuracy})
        publish(folder)


_REASONS = {State.SUCCEEDED: Reason.SUCCESS, State.FAILED: Reason.CRASH, State.PREEMPTED: Reason.INTERRUPTED}
