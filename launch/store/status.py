"""Derive the state of a run from its files. Nothing is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from launch.errors import StoreError
from launch.store.attempts import attempt_path, read_attempt
from launch.store.cancel_mark import CANCELLED, cancelled_generation
from launch.store.files import read_bytes, words_of
from launch.store.liveness import is_alive
from launch.store.manifest import ListedRun
from launch.store.records import AttemptRecord
from launch.store.run_result import damaged_result
from launch.store.scheduler_view import SchedulerView
from launch.store.state import RESUMABLE, TERMINAL, Reason, State
from launch.store.view import QUEUED, RunView
from s5.run_dir.json_file import parse_json
from s5.run_dir.numbers import numbers_in
from s5.run_dir.result import ATTEMPTS, CONFIG, RESULT, RUN, TIMING, last_line

# The words in `SchedulerView.ends` for a machine that failed under a job. They are Slurm's.
_NODE_FAILURES = ("NODE_FAIL", "BOOT_FAIL")

# Said of a run that was cancelled and still runs.
_STOPPING = "cancelled: it was asked to end, and is killed if it does not"

_REPAIR_HINT = "type the sweep's command again: it writes the file again"


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Everything that the state of a run depends on."""

    published: bool = False  # the run has a result
    cancelled: int | None = None  # the generation that the user cancelled; None if the run is not cancelled
    retried: int = 0  # the newest generation that lists the run because the user asked to retry; 0 for none
    fed: bool = False  # a running queue is going to start it
    attempted: bool = False  # it has had an attempt
    alive: bool = False  # a process may still be working on the last attempt; False needs two proofs
    ended: bool = False  # the last attempt's end is recorded
    reason: Reason | None = None  # why the last attempt ended
    retry: bool = False  # the policy allows another attempt
    generation: int = 0  # the generation that the last attempt was started for


def derive_state(facts: RunFacts) -> State:
    """Return the state of a run with these facts. Pure."""
    if facts.published:
        return State.SUCCEEDED
    if facts.attempted and not facts.ended and facts.alive:
        return State.RUNNING
    if facts.cancelled is not None and facts.cancelled >= facts.retried:
        return State.CANCELLED
    if not facts.attempted:
        return State.PENDING if facts.fed else State.PLANNED
    if not facts.ended:
        return State.PENDING if facts.fed else State.LOST
    return _after_an_end(facts)


def _after_an_end(facts: RunFacts) -> State:
    if facts.reason in RESUMABLE or (facts.retry and facts.generation >= facts.retried):
        return State.PENDING if facts.fed else State.PREEMPTED
    # The user removed the result, or asked for a retry: how the last attempt ended no longer counts.
    if facts.reason is Reason.SUCCESS or facts.generation < facts.retried:
        return State.PENDING if facts.fed else State.PLANNED
    return State.CANCELLED if facts.reason is Reason.CANCELLED else State.FAILED


def read_view(
    sweep: str, run_dir: str, listed: ListedRun, *, fed: bool, ask: Callable[[], SchedulerView | None]
) -> RunView:
    """Return the view of a run.

    Args:
        sweep: Name of the sweep.
        run_dir: The run directory.
        listed: The run as the manifest lists it.
        fed: Whether a running queue is going to start the run.
        ask: Returns a scheduler's answer about the sweep. Called only if the run is not in a terminal state.

    Returns:
        The view. If a file cannot be read, its message names the file.
    """
    names = _names(run_dir)
    attempt, record, message = _last_attempt(run_dir, names)
    facts, note = _facts(run_dir, names, attempt, record, retried=listed.retried, fed=fed)
    facts, message = _without_damaged_result(run_dir, facts, listed, message)
    state = derive_state(facts)
    if state not in TERMINAL and (scheduled := ask()) is not None:
        if listed.entry.run_id not in scheduled.tasks and not facts.alive:
            failed = scheduled.find_failed_start(listed.entry.run_id)
            if failed is not None and failed.record.attempt == attempt + 1:
                attempt, record, message = attempt + 1, failed.record, None
                facts, note = _facts(run_dir, names, attempt, record, retried=listed.retried, fed=fed)
        facts, note = _with_scheduler(facts, note, attempt_path(run_dir, attempt), record, scheduled, listed)
        state = derive_state(facts)
    message = message or (record and (record.message or _stopped(run_dir, attempt, record)))
    if note and facts.ended and state is State.PENDING:  # why it waits, not why its last attempt ended
        message = f"{message}; {QUEUED}{note}" if message else f"{QUEUED}{note}"
    message = message or note or _cancel_note(state, facts)
    if state is not State.SUCCEEDED:  # a run that is done no longer needs these files
        message = _bad_file(run_dir, names) or message
    step, steps = _progress(run_dir, attempt) if state is State.RUNNING else (None, None)
    entry = listed.entry
    return RunView(
        sweep=sweep,
        run_id=entry.run_id,
        experiment=entry.experiment,
        settings=entry.settings,
        seed=entry.seed,
        state=state,
        attempts=attempt + 1,
        generation=listed.generation,
        reason=facts.reason,
        message=message,
        host=record and record.machine,
        pid=record and record.pid,
        started=record and record.started,
        ended=record and record.ended,
        step=step,
        steps=steps,
        run_dir=run_dir,
        resources=entry.resources,
    )


def _cancel_note(state: State, facts: RunFacts) -> str | None:
    cancelled = facts.cancelled is not None and facts.cancelled >= facts.retried
    return _STOPPING if cancelled and state is State.RUNNING else None


def _names(run_dir: str) -> list[str]:
    """Return the names of the files of a run; none if its folder cannot be read."""
    try:
        return os.listdir(run_dir)
    except OSError:
        return []


def _facts(
    run_dir: str, names: list[str], attempt: int, record: AttemptRecord | None, *, retried: int, fed: bool
) -> tuple[RunFacts, str | None]:
    """Return the facts from the files of a run, and a remark for the user."""
    published, ended = RESULT in names, record is not None and record.has_ended
    alive, note = False, None
    if attempt >= 0 and not ended and not published:
        alive, note = is_alive(attempt_path(run_dir, attempt), record)
    facts = RunFacts(
        published=published,
        cancelled=cancelled_generation(run_dir) if CANCELLED in names else None,
        retried=retried,
        fed=fed,
        attempted=attempt >= 0,
        alive=alive,
        ended=ended,
        reason=record and record.reason,
        retry=record is not None and record.retry,
        generation=record.generation if record else 0,
    )
    return facts, note


def _without_damaged_result(
    run_dir: str, facts: RunFacts, listed: ListedRun, message: str | None
) -> tuple[RunFacts, str | None]:
    """Return the facts and the message; if the result is not a file, the run has failed, also after a retry.

    No attempt could publish a result in its place.
    """
    damage = damaged_result(run_dir) if facts.published else None
    if damage is None:
        return facts, message
    generation = max(listed.generation, listed.retried)
    return RunFacts(attempted=True, ended=True, reason=Reason.CRASH, generation=generation), damage


def _with_scheduler(
    facts: RunFacts,
    note: str | None,
    path: str,
    record: AttemptRecord | None,
    scheduled: SchedulerView,
    listed: ListedRun,
) -> tuple[RunFacts, str | None]:
    """Return the facts and the remark, updated by a scheduler: whether it has the run, and how the last job ended."""
    run_id, job = listed.entry.run_id, record and record.job_id
    if facts.alive:
        alive, note = is_alive(path, record, scheduled)
        facts = replace(facts, alive=alive)
    # A job whose attempt has failed is about to leave the queue: it will not start the run's next attempt.
    leaves = facts.ended and not facts.retry and facts.reason not in RESUMABLE
    if scheduled.has(run_id, listed.retried, facts.cancelled) and not (leaves and job in scheduled.running):
        facts, note = replace(facts, fed=True), note or scheduled.tasks[run_id] or None
    elif facts.attempted and not facts.ended and not facts.alive:
        end = scheduled.ends().get(str(job))
        note = f"its job ended as {end}" if end else note
        if end in _NODE_FAILURES:
            facts = replace(facts, reason=Reason.NODE_FAILURE)
    return facts, note


def _last_attempt(run_dir: str, names: list[str]) -> tuple[int, AttemptRecord | None, str | None]:
    """Return the number of the last attempt (-1 without attempts), its record, and what is wrong with the record."""
    if ATTEMPTS not in names:
        return -1, None, None
    try:
        attempt = max(numbers_in(os.listdir(os.path.join(run_dir, ATTEMPTS))), default=-1)
    except OSError as error:
        return -1, None, f"{os.path.join(run_dir, ATTEMPTS)}: {words_of(error)}"
    if attempt < 0:
        return -1, None, None
    try:
        return attempt, read_attempt(attempt_path(run_dir, attempt)), None
    except StoreError as error:
        return attempt, None, error.message


def _bad_file(run_dir: str, names: list[str]) -> str | None:
    """Return the fault of a file that the run needs to start; None if there is no fault."""
    for name in (RUN, CONFIG):
        if name not in names:
            return f"{os.path.join(run_dir, name)}: missing; {_REPAIR_HINT}"
    file = os.path.join(run_dir, RUN)
    try:
        parse_json(read_bytes(file))
    except OSError as error:
        return f"{file}: {words_of(error)}"
    except ValueError as error:
        return f"{file}: not JSON: {error}; {_REPAIR_HINT}"
    return None


def _stopped(run_dir: str, attempt: int, record: AttemptRecord) -> str | None:
    """Return how far an attempt had come that was asked to stop; None if it was not, or nothing is known."""
    if record.reason not in (*RESUMABLE, Reason.TIMEOUT):
        return None
    step, steps = _progress(run_dir, attempt)
    if step is not None:
        words = f"stopped after step {step:,} of {steps:,}" if steps else f"stopped after step {step:,}"
    elif record.exit_code:
        words = f"ended with exit code {record.exit_code}"
    elif record.signal:
        words = f"ended by signal {record.signal}"
    else:
        return f"stopped on {record.node}" if record.node else None
    return f"{words} on {record.node}" if record.node else words


def with_last_step(view: RunView) -> RunView:
    """Return a view that has the last step of a run also if the run does not execute now; it reads one more file."""
    for attempt in range(view.attempts - 1, -1, -1) if view.step is None else ():
        with suppress(OSError):
            step, steps = _progress(view.run_dir, attempt)
            if step is not None:
                return replace(view, step=step, steps=steps)
    return view


def _progress(run_dir: str, attempt: int) -> tuple[int | None, int | None]:
    """Return how many steps an attempt has done, and how many there are in all."""
    line = last_line(Path(attempt_path(run_dir, attempt), TIMING)) or {}
    step, steps = line.get("step"), line.get("of")
    return step if type(step) is int else None, steps if type(steps) is int else None
