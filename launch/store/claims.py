"""Claim an attempt by making its folder, so that only one of two supervisors can own the run."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

from launch.store import processes
from launch.store.attempts import ATTEMPT, LOG, attempt_path
from launch.store.files import fault_point, read_bytes, store_error, write_file
from launch.store.locks import acquire, is_held
from launch.store.record_json import encode
from launch.store.records import AttemptRecord
from s5.run_dir.attempts import claim_prefix, place_claim
from s5.run_dir.result import ATTEMPTS, LOCK


@dataclass(frozen=True, kw_only=True)
class Claim:
    """An attempt that belongs to this process."""

    path: str  # `RUN_DIR/attempts/K`
    lock: int  # the descriptor that holds the attempt's lock; every process that works on the attempt inherits it
    record: AttemptRecord  # the content of `attempt.json`


def claim_attempt(run_dir: str, attempt: int, record: AttemptRecord) -> Claim | None:
    """Claim the attempt after the newest one; return None if another process was first.

    The folder is renamed into place when its lock is held and its record is written. So no process ever sees an
    attempt without an owner, and a second process finds that the attempt exists already.

    Raises:
        StoreError: If the folder cannot be written.
    """
    prepared = os.path.join(run_dir, ATTEMPTS, f"{claim_prefix()}{processes.own_mark()}")
    try:
        os.makedirs(prepared, exist_ok=True)
        lock = acquire(os.path.join(prepared, LOCK))
        if lock is None:
            raise AssertionError(f"the lock of {prepared}, which this process has just made, is held")
        write_file(os.path.join(prepared, ATTEMPT), encode(record))
        fault_point("claim.prepared")
        if not place_claim(prepared, run_dir, attempt):
            os.close(lock)
            _remove(prepared)
            return None
    except OSError as error:
        _remove(prepared)
        raise store_error(error, f"claim attempt {attempt} in {os.path.join(run_dir, ATTEMPTS)}") from error
    fault_point("claim.made")
    return Claim(path=attempt_path(run_dir, attempt), lock=lock, record=record)


def place_ended_attempt(run_dir: str, record: AttemptRecord, log: str) -> bool:
    """Add an attempt that has ended without a supervisor; return whether no other process added one meanwhile.

    Args:
        run_dir: The run directory.
        record: The record of the attempt.
        log: A file whose content becomes the attempt's log; it need not exist.

    Raises:
        StoreError: If the folder cannot be written.
    """
    prepared = os.path.join(run_dir, ATTEMPTS, f"{claim_prefix()}{processes.own_mark()}")
    try:
        os.makedirs(prepared, exist_ok=True)
        with suppress(OSError):
            write_file(os.path.join(prepared, LOG), read_bytes(log))
        write_file(os.path.join(prepared, ATTEMPT), encode(record))
        placed = place_claim(prepared, run_dir, record.attempt)
    except OSError as error:
        _remove(prepared)
        raise store_error(error, f"record attempt {record.attempt} in {os.path.join(run_dir, ATTEMPTS)}") from error
    if not placed:
        _remove(prepared)
    return placed


def remove_torn_claims(run_dir: str) -> None:
    """Remove the folders that processes of this machine had prepared for a claim when they died."""
    folder, own = os.path.join(run_dir, ATTEMPTS), claim_prefix()
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):
            if name.startswith(own) and not _may_claim(name[len(own) :]):
                path = os.path.join(folder, name)
                # A container may have its host's name but other pids.
                if not is_held(os.path.join(path, LOCK)):
                    _remove(path)


def _may_claim(owner: str) -> bool:
    """Return whether the process `PID-START` that prepared a claim is alive. The claim may not have its lock yet.

    `python -m s5` does not read `/proc`, so it writes its pid only.
    """
    pid, _, start = owner.partition("-")
    if not pid.isdigit():
        return True  # the claim of a machine whose name begins with this machine's name
    found = processes.start_time(int(pid))
    return found is not None and start in ("", str(found))


def _remove(folder: str) -> None:
    import shutil  # loading it takes milliseconds, and a supervisor hardly ever has something to remove

    shutil.rmtree(folder, ignore_errors=True)
