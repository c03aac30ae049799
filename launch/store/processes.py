"""Find out whether a process is alive, from its pid and its start time: a pid alone may be reused."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from functools import cache


@cache
def boot_id() -> str:
    """Return the id of this machine's last boot. Containers have the boot id of their host."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


@cache
def host() -> str:
    """Return this machine's name."""
    return os.uname().nodename


def start_time(pid: int) -> int | None:
    """Return the start time of a process in clock ticks since boot; None if it has ended, also as a zombie."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in (b"Z", b"X") else int(fields[19])


def _stat(pid: int) -> list[bytes] | None:
    """Return the fields of `/proc/PID/stat` after the name (state, parent pid, …); None if the process has ended."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(fd, 1024)
    except OSError:
        return None
    finally:
        os.close(fd)
    # The name in parentheses may contain any character, also blanks and parentheses.
    return text[text.rindex(b")") + 2 :].split()


def is_alive(pid: int, start: int) -> bool:
    """Return whether the process `pid` that started at `start` is still alive."""
    return start_time(pid) == start


def own_mark() -> str:
    """Return `PID-START` of this process, for the name of a file that can be deleted once the process has ended."""
    return f"{os.getpid()}-{start_time(os.getpid())}"


def is_mark_alive(mark: str) -> bool:
    """Return whether the process of this machine that made a mark with `own_mark` is still alive."""
    pid, _, start = mark.partition("-")
    return pid.isdigit() and start.isdigit() and is_alive(int(pid), int(start))


def open_process(pid: int, start: int) -> int | None:
    """Return a descriptor that becomes readable when a process ends; None if the process has ended.

    A signal sent through the descriptor never reaches a later process with the same pid.
    """
    try:
        fd = os.pidfd_open(pid)
    except (OSError, OverflowError):  # a damaged record may have any number
        return None
    if is_alive(pid, start):
        return fd
    os.close(fd)
    return None


def send(fd: int, number: int) -> None:
    """Send a signal to the process of a descriptor, unless it has ended."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(fd, number)


def find_by_environment(name: str, value: str) -> list[int]:
    """Return descriptors of the processes whose environment has this variable with this value.

    The launcher gives every process that it starts such a variable, so a process is found without any record. Of a
    process tree only the root is returned, because it ends its children itself. The environment of other users'
    processes cannot be read, so these are left out.
    """
    wanted = os.fsencode(f"{name}={value}")
    found: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            fd = os.pidfd_open(int(entry))
        except OSError:
            continue
        if _carries(int(entry), wanted):
            found[int(entry)] = fd
        else:
            os.close(fd)
    helpers = [pid for pid in found if (fields := _stat(pid)) and int(fields[1]) in found]  # the second is the parent
    for pid in helpers:
        os.close(found.pop(pid))
    return list(found.values())


def is_labelled(name: str, value: str) -> bool:
    """Return whether a process runs whose environment has a variable with a value."""
    found = find_by_environment(name, value)
    for fd in found:
        os.close(fd)
    return bool(found)


def _carries(pid: int, wanted: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return wanted in file.read().split(b"\0")
    except OSError:
        return False


def wait_any(fds: list[int], timeout_s: float) -> bool:
    """Wait up to `timeout_s` seconds until one of the processes has ended; return whether one has."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return bool(poll.poll(max(0.0, timeout_s) * 1000))


def without_ended(fds: list[int]) -> list[int]:
    """Close the descriptors of processes that have ended, and return the other descriptors."""
    left: list[int] = []
    for fd in fds:
        if wait_any([fd], 0):
            os.close(fd)
        else:
            left.append(fd)
    return left
