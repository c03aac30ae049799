"""`launch logs`: what a run printed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from launch.cli import console
from launch.cli.parser import whole
from launch.errors import ExitCode, LaunchError
from launch.store.state import State

if TYPE_CHECKING:
    import argparse

    from launch.cli.parser import Parser
    from launch.store.store import SweepStore

EXAMPLES = """
launch logs digits-s5-lr=0.001-s0             the beginning of an id, where no other run begins so
launch logs mnist5k/mnist5k-sequential-s2-7c01be94 -f  until the run ends
launch logs digits-s5-lr=0.001-s0-1a2b3c4d --attempt 0 --tail 20
"""

_LOG = "log.txt"
_POLL_S = 0.2
_PIECE = 1 << 16


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("run", metavar="RUN", help="a run id, the beginning of one, or SWEEP/RUN")
    parser.add_argument("-f", "--follow", action="store_true", help="go on printing until the run ends")
    parser.add_argument(
        "--attempt", metavar="K", type=whole, help="the attempt in attempts/K, from 0; default: the last"
    )
    parser.add_argument("--tail", metavar="N", type=whole, help="only the last N lines")


def execute(args: argparse.Namespace) -> int:
    """Print the log."""
    from launch.actions.targets import find_run, open_store

    store = open_store(args.runs)
    name, run_id = find_run(store, args.run)
    sweep = store.sweep(name)
    attempts = attempt_numbers(sweep.run_dir(run_id))
    if args.attempt is not None and args.attempt not in attempts:
        there = f"it has {', '.join(f'attempts/{number}' for number in attempts)}" if attempts else "it has none"
        raise LaunchError(f"{run_id} has no attempts/{args.attempt}", hint=there)
    if not attempts and not args.follow:
        raise LaunchError(f"{run_id} has not been started yet", hint="`launch logs RUN -f` waits for it")
    if args.follow:
        return _follow(sweep, run_id, args.attempt, args.tail)
    attempt = args.attempt if args.attempt is not None else attempts[-1]
    _print(log_file(sweep.run_dir(run_id), attempt), args.tail)
    _tell_silent(sweep.run_dir(run_id), attempt)
    return ExitCode.OK


def _tell_silent(run_dir: Path, attempt: int) -> None:
    """Say how an attempt ended that printed nothing, such as one whose program is not there."""
    from launch.store.attempts import attempt_path, find_attempt

    log = log_file(run_dir, attempt)
    record = find_attempt(attempt_path(str(run_dir), attempt))
    if log.is_file() and log.stat().st_size == 0 and record is not None and record.has_ended:
        words = ": ".join(str(one) for one in (record.reason, record.message) if one)
        console.note(f"attempts/{attempt} printed nothing; it ended with {words}")


def attempt_numbers(run_dir: Path) -> list[int]:
    """Return the numbers of a run's attempts, oldest first."""
    from s5.run_dir.result import attempt_dirs

    return [int(folder.name) for folder in attempt_dirs(run_dir)]


def log_file(run_dir: Path, attempt: int) -> Path:
    """Return the log of one attempt."""
    from s5.run_dir.result import ATTEMPTS

    return run_dir / ATTEMPTS / str(attempt) / _LOG


def _print(log: Path, tail: int | None) -> None:
    try:
        with log.open("rb") as file:
            file.seek(_tail_offset(log, tail))
            while piece := file.read(_PIECE):
                console.raw(piece)
    except FileNotFoundError:
        console.note(f"{log} is not there: the attempt printed nothing")
    except OSError as error:
        raise LaunchError(f"{log}: {error.strerror}") from error


def _tail_offset(log: Path, lines: int | None) -> int:
    """Return where the last so many lines of a file begin."""
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


def _follow(sweep: SweepStore, run_id: str, attempt: int | None, tail: int | None) -> int:
    """Print what is added to a run's log until the attempt, or the run, has ended."""
    run_dir = sweep.run_dir(run_id)
    current, offset = attempt, 0
    if current is None and (started := attempt_numbers(run_dir)):
        current = started[-1]
    if current is None:
        console.note(f"waiting for {run_id} to start")
    else:
        offset = _tail_offset(log_file(run_dir, current), tail)
    while True:
        # Asked before the log is read: what the run printed before its end is then read too.
        ended = _has_ended(sweep, run_id, current)
        newest = attempt_numbers(run_dir)[-1:]
        offset = offset if current is None else _print_from(log_file(run_dir, current), offset)
        if attempt is None and newest and newest[0] != current:
            console.note(f"the next attempt begins: attempts/{newest[0]}")
            current, offset = newest[0], 0
        elif ended:
            return ExitCode.OK
        else:
            time.sleep(_POLL_S)


def _has_ended(sweep: SweepStore, run_id: str, attempt: int | None) -> bool:
    view = sweep.state().view(run_id)
    if view.state in (State.RUNNING, State.PENDING):
        # An older attempt gets no more lines.
        return attempt is not None and attempt < view.attempts - 1
    return True


def _print_from(log: Path, offset: int) -> int:
    try:
        with log.open("rb") as file:
            file.seek(offset)
            while piece := file.read(_PIECE):
                console.raw(piece)
                offset += len(piece)
    except FileNotFoundError:
        pass
    return offset
