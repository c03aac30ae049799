"""The result of a run: an attempt writes it, and it is published once for the run."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from launch.errors import StoreError
from launch.store.attempts import attempt_numbers, attempt_path
from launch.store.files import fault_point, store_errors, sync_file
from launch.store.liveness import is_locked
from s5.run_dir.result import RESULT, ResultError, publish, read_result, write_result


class InvalidResult(StoreError):
    """A `result.json` that is not in the format of a result."""


def has_result(path: str) -> bool:
    """Return whether a run directory, or an attempt's folder, holds a result."""
    return os.path.lexists(os.path.join(path, RESULT))


def write_empty_result(path: str) -> None:
    """Write the result of a command that ended well and wrote no result itself.

    Raises:
        StoreError: If it cannot be written.
    """
    with store_errors(f"write {os.path.join(path, RESULT)}"):
        write_result(Path(path), {})


def publish_result(path: str) -> bool:
    """Make the result in an attempt's folder the run's, durably, unless the run has one; return whether this call did.

    Raises:
        InvalidResult: If the file is not a result.
        StoreError: If it cannot be read or linked.
    """
    result = os.path.join(path, RESULT)
    with store_errors(f"publish {result}"):
        try:
            read_result(Path(path))
        except ResultError as error:
            raise InvalidResult(str(error), hint="a result.json must be in the format of s5.run_dir.result") from error
        sync_file(result)
        fault_point("publish.synced")
        published = publish(Path(path))
        fault_point("publish.linked")
    return published


def set_aside_result(path: str) -> None:
    """Rename an invalid `result.json` so that it no longer blocks the attempt."""
    with suppress(OSError):
        os.replace(os.path.join(path, RESULT), os.path.join(path, f"{RESULT}.bad"))


def adopt_result(run_dir: str) -> bool:
    """Publish the result of an attempt whose supervisor died before it could; return whether the run has one now."""
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
