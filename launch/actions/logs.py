"""Read the log of a run: of one attempt, or everything that the run prints until it ends."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from launch.errors import LaunchError
from launch.store.attempts import LOG, attempt_numbers, attempt_path, find_attempt
from launch.store.state import Reason, State

if TYPE_CHECKING:
    from launch.store.store import SweepStore

_POLL_S = 0.2
_PIECE = 1 << 16


def read_log(
    sweep: SweepStore, run_id: str, *, attempt: int | None = None, tail: int | None = None
) -> tuple[int, Iterator[bytes]]:
    """Return the number of the attempt, and its log in pieces.

    Args:
        sweep: The sweep.
        run_id: One of its runs.
        attempt: The attempt, from 0; None for the last.
        tail: How many of the last lines; None for all.

    Raises:
        LaunchError: If there is no such attempt.
    """
    attempts = _check_attempt(sweep, run_id, attempt)
    if not attempts:
        raise LaunchError(f"{run_id} has not been started yet", hint="`launch logs RUN -f` waits for it")
    chosen = attempts[-1] if attempt is None else attempt
    log = _log_file(sweep, run_id, chosen)
    return chosen, _pieces(log, _tail_offset(log, tail))


def _check_attempt(sweep: SweepStore, run_id: str, attempt: int | None) -> list[int]:
    """Return the numbers of a run's attempts, oldest first; raise if `attempt` is given and is not one of them."""
    attempts = _attempts(sweep, run_id)
    if attempt is not None and attempt not in attempts:
        there = ", ".join(f"attempts/{number}" for number in attempts)
        raise LaunchError(f"{run_id} has no attempts/{attempt}", hint=f"its attempts: {there or 'none'}")
    return attempts


def follow_log(
    sweep: SweepStore, run_id: str, *, attempt: int | None = None, tail: int | None = None, say: Callable[[str], None]
) -> Iterator[bytes]:
    """Yield a run's log in pieces, also what is added to it, until the attempt or the run has ended.

    Args:
        sweep: The sweep.
        run_id: One of its runs.
        attempt: The attempt, from 0; None for the last attempt and every later one.
        tail: How many of the last lines to begin with; None for all.
        say: Called with a line if the run has not started yet, and when its next attempt begins.
    """
    attempts = _check_attempt(sweep, run_id, attempt)
    current, offset = (attempts[-1] if attempts else None) if attempt is None else attempt, 0
    if current is None:
        say(f"waiting for {run_id} to start")
    else:
        offset = _tail_offset(_log_file(sweep, run_id, current), tail)
    while True:
        # Checked before the log is read, so that everything that the run printed before its end is read too.
        ended = _has_ended(sweep, run_id, current)
        newest = _attempts(sweep, run_id)[-1:]
        for piece in () if current is None else _pieces(_log_file(sweep, run_id, current), offset):
            offset += len(piece)
            yield piece
        if attempt is None and newest and newest[0] != current:
            say(f"the next attempt begins: attempts/{newest[0]}")
            current, offset = newest[0], 0
        elif ended:
            return
        else:
            time.sleep(_POLL_S)


def silent_end(sweep: SweepStore, run_id: str, attempt: int) -> str | None:
    """Return how an attempt ended if it printed nothing, for example because its program is missing; else None."""
    run_dir = sweep.run_dir(run_id)
    log = _log_file(sweep, run_id, attempt)
    failed = sweep.state().failed_start(run_id)
    record = failed.record if failed is not None else find_attempt(attempt_path(str(run_dir), attempt))
    is_start = record is not None and record.has_ended and record.reason is Reason.START
    if not log.is_file() and not is_start:
        return f"{log} does not exist: the attempt printed nothing"
    if (log.is_file() and log.stat().st_size) or record is None or not record.has_ended:
        return None
    words = ": ".join(str(word) for word in (record.reason, record.message) if word)
    return f"attempts/{attempt} printed nothing; it ended with {words}"


def _attempts(sweep: SweepStore, run_id: str) -> list[int]:
    """Return the numbers of a run's attempts, oldest first."""
    failed = sweep.state().failed_start(run_id)
    return [*attempt_numbers(str(sweep.run_dir(run_id))), *([failed.record.attempt] if failed is not None else [])]


def _log_file(sweep: SweepStore, run_id: str, attempt: int) -> Path:
    path = attempt_path(str(sweep.run_dir(run_id)), attempt)
    if not os.path.isdir(path) and (failed := sweep.state().failed_start(run_id)) is not None:
        return Path(failed.log)
    return Path(path, LOG)


def _pieces(log: Path, offset: int) -> Iterator[bytes]:
    try:
        with log.open("rb") as file:
            file.seek(offset)
            while piece := file.read(_PIECE):
                yield piece
    except FileNotFoundError:
        return
    except OSError as error:
        raise LaunchError(f"{log}: {error.strerror}") from error


def _tail_offset(log: Path, lines: int | None) -> int:
    """Return the offset in bytes at which the last lines of a file begin; 0 for all lines."""
    if lines is None:
        return 0
    try:
        content = log.read_bytes()
    except FileNotFoundError:
        return 0
    offset = len(content) - 1 if content.endswith(b"\n") else len(content)
    for _ in range(lines):
        offset = content.rfind(b"\n", 0, max(0, offset))
        if offset < 0:
            return 0
    return offset + 1 if lines > 0 else len(content)


def _has_ended(sweep: SweepStore, run_id: str, attempt: int | None) -> bool:
    view = sweep.state().view(run_id)
    if view.state in (State.RUNNING, State.PENDING):
        return attempt is not None and attempt < view.attempts - 1  # an older attempt gets no more lines
    return True
