"""The attempts of one run: their folders and records.

On disk::

    RUN_DIR/attempts/K/attempt.json   the command that was started, and how it ended
                       lock           held by the supervisor and its children; if free, no process works on the attempt
                       log.txt        what the command printed
                       result.json    written by the command, last
    RUN_DIR/result.json               a hard link to an attempt's result.json, or a copy, made once
    RUN_DIR/cancelled.json            the generation that the user cancelled
"""

from __future__ import annotations

import os

from launch.errors import StoreError
from launch.store.files import replace_file
from launch.store.record_json import encode, read_record
from launch.store.records import AttemptRecord
from s5.run_dir.numbers import numbers_in
from s5.run_dir.result import ATTEMPTS

ATTEMPT = "attempt.json"
LOG = "log.txt"


def attempt_numbers(run_dir: str) -> list[int]:
    """Return the numbers of a run's attempts, oldest first."""
    try:
        return numbers_in(os.listdir(os.path.join(run_dir, ATTEMPTS)))
    except FileNotFoundError:
        return []


def attempt_path(run_dir: str, attempt: int) -> str:
    """Return the folder of an attempt."""
    return os.path.join(run_dir, ATTEMPTS, str(attempt))


def read_attempt(path: str) -> AttemptRecord:
    """Return the record of the attempt in a folder.

    Raises:
        StoreError: If the record is missing or not valid; the message names the file.
    """
    return read_record(AttemptRecord, os.path.join(path, ATTEMPT))


def find_attempt(path: str) -> AttemptRecord | None:
    """Return the record of an attempt; None if it cannot be read, as after a crash of the machine."""
    try:
        return read_attempt(path)
    except StoreError:
        return None


def write_record(path: str, record: AttemptRecord) -> None:
    """Replace the record of an attempt. Only the attempt's own supervisor calls this.

    Raises:
        StoreError: If the record cannot be written.
    """
    replace_file(os.path.join(path, ATTEMPT), encode(record))


def spent_s(run_dir: str) -> float:
    """Return the seconds that a run took over all its attempts that have ended."""
    records = (find_attempt(attempt_path(run_dir, attempt)) for attempt in attempt_numbers(run_dir))
    # The clock may have been set back.
    return sum(max(0.0, one.ended - one.started) for one in records if one is not None and one.ended is not None)
