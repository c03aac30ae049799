"""Find out why an attempt ended: from its exit code, a request to stop, and the last lines of its log."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass

from launch.store.state import Reason
from s5.run_dir.result import Exit

_TAIL_BYTES = 64 * 1024
_LINE_CHARS = 300
_TRACEBACK = "Traceback (most recent call last)"

# What XLA, CUDA, Python and C++ print when an allocation fails.
_OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "MemoryError", "CUDA_ERROR_OUT_OF_MEMORY", "std::bad_alloc")

_EXITS = {
    Exit.USER_ERROR: Reason.USER_ERROR,
    Exit.NAN: Reason.NAN,
    Exit.OUT_OF_MEMORY: Reason.OUT_OF_MEMORY,
}

# Signals by which a program ends through its own mistake; another process sends any other signal.
_OWN_FAULT = (
    signal.SIGSEGV,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGSYS,
    signal.SIGTRAP,
)


@dataclass(frozen=True, kw_only=True)
class ExitInfo:
    """How an attempt ended."""

    reason: Reason
    exit_code: int | None = None  # the command's exit code; None if a signal ended it, or it never started
    signal: int | None = None  # the number of that signal
    message: str | None = None  # one line for the user; None if there is nothing to say


def classify(
    code: int, *, finished: bool, asked: Reason | None, oom_killed: bool, log: str, trains: bool = True
) -> ExitInfo:
    """Return why an attempt ended.

    Args:
        code: The command's exit code; if a signal ended it, minus the number of the signal.
        finished: Whether the attempt has a result.
        asked: Why the command was asked to stop; None if it was not asked.
        oom_killed: Whether the kernel killed a process of its group for lack of memory meanwhile.
        log: The end of the log.
        trains: Whether the command is our training, whose exit codes name a reason. Those of a user's program do so
            only if it ends as our training does, with a line `s5: …`.
    """
    if finished:
        return _finished(code)
    if code < 0:
        return _by_signal(-code, asked=asked, oom_killed=oom_killed, log=log)
    words = last_words(log) or ""
    reason = _EXITS.get(code) if trains or words.startswith("s5: ") else None  # pyright: ignore[reportArgumentType, reportCallIssue]
    if reason is None and _says_out_of_memory(log) and code not in (Exit.OK, Exit.STOPPED):
        reason = Reason.OUT_OF_MEMORY
    if reason is None and (asked or code == Exit.STOPPED):
        # If the command was asked to stop, that is the reason, whatever its exit code.
        return ExitInfo(reason=asked or Reason.INTERRUPTED, exit_code=code)
    if reason is None and code == Exit.OK:
        return ExitInfo(reason=Reason.CRASH, exit_code=code, message="it ended without a result.json")
    return ExitInfo(reason=reason or Reason.CRASH, exit_code=code, message=words or f"exit code {code}")


def _finished(code: int) -> ExitInfo:
    if code == 0:
        return ExitInfo(reason=Reason.SUCCESS, exit_code=0)
    # A run writes its result last: how the process ends after that does not matter.
    how = f"signal {_name(-code)}" if code < 0 else f"exit code {code}"
    return ExitInfo(
        reason=Reason.SUCCESS,
        exit_code=code if code > 0 else None,
        signal=-code if code < 0 else None,
        message=f"{how} after its result was written",
    )


def _by_signal(number: int, *, asked: Reason | None, oom_killed: bool, log: str) -> ExitInfo:
    if oom_killed and number == signal.SIGKILL and asked is None:
        return ExitInfo(reason=Reason.OUT_OF_MEMORY, signal=number, message="the kernel killed it for lack of memory")
    if asked is not None:
        return ExitInfo(reason=asked, signal=number)
    if number in _OWN_FAULT:
        reason = Reason.OUT_OF_MEMORY if _says_out_of_memory(log) else Reason.CRASH
        words = last_words(log)
        return ExitInfo(reason=reason, signal=number, message=f"{_name(number)}: {words}" if words else _name(number))
    return ExitInfo(reason=Reason.KILLED, signal=number, message=f"killed by {_name(number)}")


def _name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def _says_out_of_memory(log: str) -> bool:
    return any(word in log for word in _OUT_OF_MEMORY)


def last_words(log: str) -> str | None:
    """Return the exception of the last traceback in a log's end, else its last line; None for an empty log."""
    lines = [line.rstrip() for line in log.splitlines() if line.strip()]
    starts = [number for number, line in enumerate(lines) if line.startswith(_TRACEBACK)]
    for line in lines[starts[-1] + 1 :] if starts else ():
        # Frames are indented, the exception is not. JAX prints remarks after the exception.
        if not line.startswith((" ", "\t")):
            return line[:_LINE_CHARS]
    said = [line for line in lines if not line.startswith("hint:")]
    return said[-1][:_LINE_CHARS] if said else None


def read_tail(path: str) -> str:
    """Return the end of a log; empty if it cannot be read."""
    with suppress(OSError), open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
        return file.read().decode(errors="replace")
    return ""


def oom_kills(proc: str = "/proc/self/cgroup", root: str = "/sys/fs/cgroup") -> int:
    """Return how many processes of this control group the kernel has killed for memory; 0 if it does not count them."""
    with suppress(OSError), open(proc) as file:
        return sum(_oom_kills_of(line.strip(), root) for line in file)
    return 0


def machine_oom_kills(file: str = "/proc/vmstat") -> int:
    """Return how many processes of this machine the kernel has killed for memory; 0 if it does not count them.

    Used for containers: when a container ends, its control group and the count of that group are gone.
    """
    with suppress(OSError, ValueError), open(file) as lines:
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return 0


def _oom_kills_of(line: str, root: str) -> int:
    """Return the count of the group in a line of `/proc/self/cgroup`; 0 unless it is of version 2, or for `memory`."""
    _, controllers, path = line.split(":", 2)
    if controllers == "":
        folder, name = root, "memory.events"
    elif "memory" in controllers.split(","):
        folder, name = f"{root}/memory", "memory.oom_control"
    else:
        return 0
    # In a container the path may be that of the host, but the container's own group is mounted at the root.
    for file in (f"{folder}/{path}/{name}", f"{folder}/{name}"):
        with suppress(OSError, ValueError), open(file) as counters:
            return sum(int(counter.split()[1]) for counter in counters if counter.startswith("oom_kill "))
    return 0
