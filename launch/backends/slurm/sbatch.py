"""Call sbatch: keep everything that it says, and never wait in silence.

If the controller has just started and does not know its nodes yet, wait and try again. If its job table is full, sbatch
would sleep and try again for two minutes; it is killed as soon as it says so.
"""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from launch.backends.slurm.client import (
    TIMEOUT_S,
    ClientError,
    Unreachable,
    client_environment,
    client_error,
    client_errors,
    run_client,
    said_lines,
)
from launch.errors import BackendError

# A job that is refused with this message may be accepted a moment later.
_UNFIT = "node configuration is not available"
_PATIENCE_S = 20.0
_PAUSE_S = 1.0
# Nodes whose state begins with one of these words accept no jobs.
_AWAY = ("down", "drain", "drng", "fail", "inval", "maint", "power")
_LATER = "`sinfo -R` shows why; type the command again when they do: nothing is lost and nothing runs twice"


# What sbatch prints before it sleeps.
_SLEEPS = ("unable to accept job", "job queue full", "Job creation temporarily disabled")
# What `sbatch --test-only` prints about a job that could begin.
_TESTED = re.compile(r"Job \d+ to start at ")


class TableFull(ClientError):
    """The controller has no room for these jobs (`MaxJobCount`, of all users); it may have room for fewer."""


@dataclass(frozen=True)
class Answer:
    """The answer of sbatch to an accepted submission."""

    out: str  # what it printed to stdout
    notes: tuple[str, ...] = ()  # what it or a filter of the site printed to stderr


def sbatch(words: Sequence[str], *, hold: Sequence[int] = (), timeout_s: float = TIMEOUT_S) -> Answer:
    """Call sbatch and return its answer.

    Args:
        words: The command line.
        hold: Descriptors that it keeps open while it runs, even if this process is killed.
        timeout_s: How many seconds it may take.

    Raises:
        TableFull: If the controller has no room. A moment later it may have taken the job nevertheless.
        ClientError: If sbatch refuses.
        Unreachable: If the controller does not answer, or no node of the cluster accepts jobs.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return _call(words, hold, timeout_s)
        except ClientError as error:
            if _UNFIT not in error.said:
                raise
            states = _node_states()
            if not any(map(_is_silent, states)) or time.monotonic() >= deadline:
                if states and all(_is_silent(state) or state.startswith(_AWAY) for state in states):
                    named = ", ".join(f"{count} {state}" for state, count in Counter(states).items())
                    raise Unreachable(f"no node of the cluster takes jobs now ({named})", hint=_LATER) from error
                raise
        time.sleep(_PAUSE_S)


def _call(words: Sequence[str], hold: Sequence[int], timeout_s: float) -> Answer:
    with (
        client_errors(words, timeout_s),
        subprocess.Popen(
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=client_environment(),
            pass_fds=tuple(hold),
            text=True,
            errors="replace",
        ) as process,
    ):
        said: list[str] = []
        reader = threading.Thread(target=_read_errors, args=(process, said), daemon=True)
        reader.start()
        try:
            code = process.wait(timeout_s)
        except BaseException:
            process.kill()
            raise
        reader.join(_PAUSE_S)
        out = process.stdout.read() if process.stdout else ""
    text = "".join(said)
    if code and any(phrase in text for phrase in _SLEEPS):
        raise TableFull(words[0], text)
    if code:
        raise client_error(words, text)
    return Answer(out, tuple(line for line in said_lines(words[0], text) if not _TESTED.match(line)))


def _read_errors(process: subprocess.Popen[str], said: list[str]) -> None:
    for line in process.stderr or ():
        said.append(line)
        if any(phrase in line for phrase in _SLEEPS):
            process.kill()


def _node_states() -> list[str]:
    """Return the state of every node; empty if the controller does not answer."""
    try:
        lines = run_client(["sinfo", "-h", "-N", "-o", "%N %t"]).splitlines()
    except BackendError:
        return []
    return list({name: state for name, _, state in (line.partition(" ") for line in lines)}.values())


def _is_silent(state: str) -> bool:
    """Return whether a node in this state has not reported to the controller yet, and will probably do so."""
    return state.startswith("unk") or (state.endswith("*") and not state.startswith(_AWAY))
