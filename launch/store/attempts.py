"""The attempts of one run: claiming the next, recording how it went, publishing its result.

RUN_DIR/attempts/K/attempt.json   what was started, and how it ended
                   lock           held by the supervisor and by what it started; free: nobody works on it
                   log.txt        what the command printed
                   result.json    written by the command, last
RUN_DIR/result.json               a hard link to it, made once
RUN_DIR/cancelled.json            the generation that the user cancelled
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.errors import StoreError
from launch.store import processes
from launch.store.files import fault_point, read_bytes, replace_file, store_error, sync_file, write_file
from launch.store.locks import acquire, is_held
from launch.store.record_json import from_json, to_json
from launch.store.records import AttemptRecord
from launch.store.scheduler_view import SchedulerView
from s5.run_dir.result import (
    ATTEMPT_DIR_VARIABLE,
    ATTEMPTS,
    CHECKPOINTS,
    CLAIM,
    LOCK,
    METRICS,
    RESULT,
    TIMING,
    ResultError,
    publish,
    read_result,
    write_result,
)

ATTEMPT = "attempt.json"
LOG = "log.txt"
CANCELLED = "cancelled.json"

# How long the local attempt of an unknown machine may write nothing before it is taken for dead.
SILENT_S = 1800.0
_SIGNS = (LOG, TIMING, METRICS, ATTEMPT, CHECKPOINTS)


class InvalidResult(StoreError):
    """A result file that is none."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """An attempt that belongs to this process.

    Attributes:
        path: `RUN_DIR/attempts/K`.
        lock: The descriptor that holds its lock, to be handed to whatever works on it.
        record: What `attempt.json` says.
    """

    path: str
    lock: int
    record: AttemptRecord


def attempt_numbers(run_dir: str) -> list[int]:
    """Return the numbers of a run's attempts, oldest first."""
    try:
        return sorted(int(name) for name in os.listdir(os.path.join(run_dir, ATTEMPTS)) if name.isdigit())
    except FileNotFoundError:
        return []


def attempt_path(run_dir: str, attempt: int) -> str:
    """Return the folder of an attempt."""
    return os.path.join(run_dir, ATTEMPTS, str(attempt))


def read_attempt(path: str) -> AttemptRecord:
    """Return the record of an attempt.

    Args:
        path: The attempt's folder.

    Raises:
        StoreError: Where it is missing or cannot be understood; the message names the file.
    """
    file = os.path.join(path, ATTEMPT)
    return from_json(AttemptRecord, read_json(file), file)


def read_raw_record(path: str) -> dict[str, Any]:
    """Return the record of an attempt as plain values, unchecked; empty where it cannot be read."""
    try:
        record: dict[str, Any] = json.loads(read_bytes(os.path.join(path, ATTEMPT)))
    except (OSError, ValueError):
        return {}
    usable = isinstance(record, dict) and isinstance(record.get("pid"), int)  # pyright: ignore[reportUnnecessaryIsInstance]
    return record if usable else {}


def read_json(file: str) -> object:
    """Return what a JSON file holds.

    Raises:
        StoreError: Where it cannot be read; the message names the file.
    """
    try:
        return json.loads(read_bytes(file))
    except OSError as error:
        raise store_error(error, f"read {file}") from error
    except ValueError as error:
        raise StoreError(f"{file}: not JSON: {error}") from error


def is_locked(path: str) -> bool:
    """Say whether a process on this machine works on an attempt: its supervisor, or what that started."""
    return is_held(os.path.join(path, LOCK))


def is_alive(path: str, record: Mapping[str, Any], scheduled: SchedulerView | None = None) -> tuple[bool, str | None]:
    """Say whether somebody may work on an attempt without an end. Only two proofs together say that nobody does.

    Args:
        path: The attempt's folder.
        record: Its record as plain values; empty where it cannot be read.
        scheduled: What the scheduler says of the sweep; None where it was not asked.

    Returns:
        Whether, and a remark for a person.
    """
    if is_locked(path):
        return True, None
    if not record:
        return processes.is_labelled(ATTEMPT_DIR_VARIABLE, path), None
    if is_here(record):
        if processes.is_alive(record["pid"], record.get("pid_start", 0)):
            return True, None
        # An engine starts a container, and hands no lock into it: what works inside says so by its label alone.
        return record.get("image") is not None and processes.is_labelled(ATTEMPT_DIR_VARIABLE, path), None
    if record.get("host") == processes.host():
        return False, None  # this machine has been started again since
    where = f"it runs on {record.get('host')}, which cannot be seen from {processes.host()}"
    if record.get("backend") != "local":
        # The free lock is one proof, and the scheduler that has the job no more is the other.
        lost = scheduled is not None and scheduled.has_lost(record.get("job_id"), record.get("started", 0.0))
        return not lost, None if lost or scheduled is not None else where
    if _is_silent(path):
        return False, None
    return True, f"{where}; it counts as lost after {SILENT_S / 60:.0f} min of silence"


def _is_silent(path: str) -> bool:
    """Say whether nothing has been written to an attempt for long.

    A container with a new name, or a disk in another machine, leaves attempts of a machine that nobody will see
    again: without this proof beside the free lock they would run for ever.
    """
    newest = 0.0
    for name in _SIGNS:
        with suppress(OSError):
            newest = max(newest, os.stat(os.path.join(path, name)).st_mtime)
    return time.time() - newest > SILENT_S


def is_here(record: Mapping[str, Any]) -> bool:
    """Say whether an attempt was started on this machine since it booted: only then do its pids mean anything."""
    return record.get("boot_id") == processes.boot_id()


def claim(run_dir: str, attempt: int, record: AttemptRecord) -> Claim | None:
    """Claim an attempt: whoever makes its folder owns the run.

    The folder appears whole, by one rename, with the lock held and the record written. So nobody ever sees an
    attempt of which it cannot say who works on it, and of two claimants the second finds the place taken.

    Args:
        run_dir: The run directory.
        attempt: The number after the newest attempt.
        record: What `attempt.json` is to say.

    Returns:
        The claim; None where somebody else was first.

    Raises:
        StoreError: Where the folder cannot be written.
    """
    folder = os.path.join(run_dir, ATTEMPTS)
    own = os.getpid()
    prepared = os.path.join(folder, f"{CLAIM}{processes.host()}-{own}-{processes.start_time(own)}")
    try:
        os.makedirs(prepared, exist_ok=True)
        lock = acquire(os.path.join(prepared, LOCK))
        if lock is None:
            raise AssertionError(f"the lock of {prepared}, which this process has just made, is held")
        write_file(os.path.join(prepared, ATTEMPT), _encode(record))
        fault_point("claim.prepared")
        os.rename(prepared, attempt_path(run_dir, attempt))
    except OSError as error:
        _remove(prepared)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return None
        raise store_error(error, f"claim attempt {attempt} in {folder}") from error
    fault_point("claim.made")
    return Claim(path=attempt_path(run_dir, attempt), lock=lock, record=record)


def remove_torn_claims(run_dir: str) -> None:
    """Remove what claimants of this machine left that died before their claim was made."""
    folder, own = os.path.join(run_dir, ATTEMPTS), f"{CLAIM}{processes.host()}-"
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):
            if name.startswith(own) and not _may_claim(name[len(own) :]):
                path = os.path.join(folder, name)
                # A container may share its host's name and not its pids.
                if not is_held(os.path.join(path, LOCK)):
                    _remove(path)


def _may_claim(owner: str) -> bool:
    """Say whether the claimant `PID-START` lives: between making its folder and locking it, only that says so.

    `python -m s5`, which looks nowhere into `/proc`, names its pid only.
    """
    pid, _, start = owner.partition("-")
    if not pid.isdigit():
        return True  # of a machine whose name begins with this one's
    found = processes.start_time(int(pid))
    return found is not None and start in ("", str(found))


def _remove(folder: str) -> None:
    import shutil  # costs a supervisor milliseconds, and it hardly ever has something to remove

    shutil.rmtree(folder, ignore_errors=True)


def write_record(path: str, record: AttemptRecord) -> None:
    """Replace the record of an attempt. Only the attempt's own supervisor does.

    Raises:
        StoreError: Where it cannot be written.
    """
    replace_file(os.path.join(path, ATTEMPT), _encode(record))


def _encode(record: AttemptRecord) -> bytes:
    return (json.dumps(to_json(record), indent=1, sort_keys=True) + "\n").encode()


def has_result(path: str) -> bool:
    """Say whether a run directory, or an attempt's folder, holds a result."""
    return os.path.lexists(os.path.join(path, RESULT))


def write_empty_result(path: str) -> None:
    """Write the result of a command that ended well and left none of its own.

    Raises:
        StoreError: Where it cannot be written.
    """
    try:
        write_result(Path(path), {})
    except OSError as error:
        raise store_error(error, f"write {os.path.join(path, RESULT)}") from error


def publish_result(path: str) -> bool:
    """Make an attempt's result the run's, durably, unless the run has one.

    Args:
        path: The attempt's folder, which holds a result.

    Returns:
        Whether this call did it.

    Raises:
        BadResult: Where it is none.
        StoreError: Where it cannot be read or linked.
    """
    result = os.path.join(path, RESULT)
    try:
        read_result(Path(path))
        sync_file(result)
        fault_point("publish.synced")
        published = publish(Path(path))
        fault_point("publish.linked")
    except OSError as error:
        raise store_error(error, f"publish {result}") from error
    except ResultError as error:
        raise InvalidResult(str(error), hint="a result.json must be in the format of s5.run_dir.result") from error
    return published


def set_aside_result(path: str) -> None:
    """Rename what stands in the place of an attempt's result and is none, so that it does not stand there for ever."""
    with suppress(OSError):
        os.replace(os.path.join(path, RESULT), os.path.join(path, f"{RESULT}.bad"))


def adopt_result(run_dir: str) -> bool:
    """Publish the result of an attempt whose supervisor died before it could.

    Args:
        run_dir: The run directory.

    Returns:
        Whether the run has a result now.
    """
    if has_result(run_dir):
        return True
    for attempt in reversed(attempt_numbers(run_dir)):
        path = attempt_path(run_dir, attempt)
        if has_result(path) and not is_locked(path):
            try:
                publish_result(path)
            except InvalidResult:
                set_aside_result(path)
                continue
            return True
    return False


def write_cancelled(run_dir: str, generation: int) -> None:
    """Say that the user wants no more attempts of a run for this generation and those before.

    Raises:
        StoreError: Where it cannot be written.
    """
    replace_file(os.path.join(run_dir, CANCELLED), json.dumps({"version": 1, "generation": generation}).encode())


def cancelled_generation(run_dir: str) -> int | None:
    """Return the generation that the user cancelled; None where there is no such mark.

    A mark that cannot be read still is one: it counts for every generation.
    """
    try:
        document = json.loads(read_bytes(os.path.join(run_dir, CANCELLED)))
        return int(document["generation"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return 1 << 30
