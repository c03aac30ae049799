"""The result of a run: an attempt writes it, and it is then published for the run, only once."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from launch.errors import StoreError
from launch.store.attempts import attempt_numbers, attempt_path
from launch.store.files import fault_point, read_bytes, store_errors, sync_file
from launch.store.liveness import is_locked
from s5.run_dir.json_file import parse_json
from s5.run_dir.result import RESULT, ResultError, publish, read_result, write_result


class InvalidResult(StoreError):
    """A `result.json` that is not in the format of a result."""


def has_result(path: str) -> bool:
    """Return whether a run directory, or an attempt's folder, contains a result."""
    return os.path.lexists(os.path.join(path, RESULT))


def damaged_result(run_dir: str) -> str | None:
    """Return a message if the run's result is not a file; None if it is one, or if the file system does not answer."""
    path = os.path.join(run_dir, RESULT)
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:  # a link to nothing
        regular = not os.path.islink(path)
    except OSError as error:
        regular = error.errno != errno.ELOOP
    return None if regular else f"{path}: damaged: not a file; move it away, then type the sweep's command again"


def write_empty_result(path: str) -> None:
    """Write an empty result for a command that ended with exit code 0 and wrote no result itself.

    Raises:
        StoreError: If the result cannot be written.
    """
    with store_errors(f"write {os.path.join(path, RESULT)}"):
        write_result(Path(path), {})


def _accept_numbers(path: str) -> None:
    """Turn a result of numbers only, such as `{"accuracy": 0.9}`, into one in our format; leave others as they are.

    Text and true or false may stand next to the numbers.

    Raises:
        InvalidResult: If it is neither; the message says what is allowed.
        StoreError: If the file cannot be written.
    """
    file = os.path.join(path, RESULT)
    try:
        document: object = parse_json(read_bytes(file))
    except (OSError, ValueError):
        return  # `publish_result` says what is wrong
    found = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    if "metrics" in found and "version" in found:
        return
    inner: object = found.get("metrics", found)
    plain = cast("dict[str, Any]", inner) if isinstance(inner, dict) else {}
    wrong = next((name for name, value in plain.items() if not isinstance(value, int | float | str | None)), None)
    if not plain or wrong is not None:
        kind = "list" if wrong is not None and isinstance(plain[wrong], list) else "mapping"
        problem = "it has no numbers" if wrong is None else f"{wrong} is a {kind}"
        raise InvalidResult(
            f"{file}: {problem}; a command writes numbers by name",
            hint='such as {"accuracy": 0.93, "loss": 0.2}; keep everything else in other files',
        )
    metrics = {name: value for name, value in plain.items() if type(value) in (int, float)}
    facts = {name: value for name, value in plain.items() if name not in metrics and name not in ("version", "metrics")}
    with store_errors(f"write {file}"):
        write_result(Path(path), metrics, **facts)


def publish_result(path: str) -> bool:
    """Publish the result of an attempt as the run's, unless the run has a result; return whether this call did so.

    Raises:
        InvalidResult: If the file is not a result.
        StoreError: If the file cannot be read or linked.
    """
    result = os.path.join(path, RESULT)
    _accept_numbers(path)
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
    """Rename an invalid `result.json` of an attempt to `result.json.bad`, so that the attempt has no result."""
    with suppress(OSError):
        os.replace(os.path.join(path, RESULT), os.path.join(path, f"{RESULT}.bad"))


def adopt_result(run_dir: str) -> bool:
    """Publish a result whose supervisor died before it could publish it; return whether the run has a result now."""
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
