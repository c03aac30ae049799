"""Wait for the processes of a queue on this machine, and for the signals that stop the queue."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

from launch.backends.local.slots import Slot
from launch.backends.local.start import StartedSupervisor
from launch.backends.local.stop_signals import StopSignals
from launch.store import processes
from launch.store.attempts import attempt_path, find_attempt
from launch.store.liveness import is_here, is_locked
from launch.store.view import RunView
from s5.run_dir.orphan_grace import KILL_ORPHAN_S
from s5.run_dir.result import ATTEMPT_DIR_VARIABLE

_POLL_S = 0.2  # no event tells when another sweep frees a slot, or when a process that cannot be watched ends


@dataclass(kw_only=True)
class Watched:
    """A process to wait for: a supervisor of this queue or of an earlier one, or an orphaned training process."""

    run_id: str
    started: StartedSupervisor | None = None  # the supervisor, if this queue started it
    slot: Slot | None = None  # the slot it was given, if this queue started it
    kill_at: float | None = None  # when an orphan is killed, on the monotonic clock


@final
class Watcher:
    """Waits for the ends of processes.

    Args:
        signals: Requests to stop the queue; they interrupt the wait.

    Attributes:
        remote: Running runs whose processes cannot be watched: their state must be polled.
    """

    def __init__(self, signals: StopSignals) -> None:
        self.remote: set[str] = set()
        self._signals = signals
        self._stops = 0
        self._processes: dict[int, Watched] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(signals.fd, selectors.EVENT_READ)

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *error: object) -> None:
        self._selector.close()

    @property
    def is_busy(self) -> bool:
        """Whether it waits for any run."""
        return bool(self._processes or self.remote)

    @property
    def is_stopping(self) -> bool:
        """Whether the queue was asked to stop."""
        return self._stops > 0

    @property
    def count(self) -> int:
        """The number of processes that it waits for."""
        return len(self._processes)

    def runs(self) -> set[str]:
        """Return the ids of the runs whose processes it waits for."""
        return {watched.run_id for watched in self._processes.values()}

    def slots(self) -> Iterator[Slot]:
        """Yield the slots of the runs that this queue started and that still run."""
        return (watched.slot for watched in self._processes.values() if watched.slot is not None)

    def add_started(self, run_id: str, started: StartedSupervisor, slot: Slot) -> None:
        """Wait for a supervisor that this queue started."""
        self._add(started.fd, Watched(run_id=run_id, started=started, slot=slot))

    def add_running(self, run_id: str, view: RunView) -> None:
        """Wait for a run that another queue started: for its supervisor, or if that has died, for its orphans.

        Orphans are processes whose supervisor has died. They are asked to end, so that the run can continue under a new
        supervisor. A run on another machine is ignored: the queue there waits for it.
        """
        path = attempt_path(view.run_dir, view.attempts - 1)
        record = find_attempt(path)
        if record and not is_here(record) and not is_locked(path):
            return
        fd = processes.open_process(record.pid, record.pid_start) if record else None
        if fd is not None:
            self._add(fd, Watched(run_id=run_id))
            return
        orphans = processes.find_by_environment(ATTEMPT_DIR_VARIABLE, path)
        for fd in orphans:
            processes.send(fd, signal.SIGTERM)
            self._add(fd, Watched(run_id=run_id, kill_at=time.monotonic() + KILL_ORPHAN_S))
        if not orphans:
            self.remote.add(run_id)

    def _add(self, fd: int, watched: Watched) -> None:
        self._processes[fd] = watched
        self._selector.register(fd, selectors.EVENT_READ)

    def wait(self, timeout_s: float | None, *, poll: bool) -> list[tuple[Watched, str, int]]:
        """Wait until a process ends, a signal asks to stop, or the time is up.

        Args:
            timeout_s: Seconds to wait at most; None for no limit.
            poll: Whether to return soon, because the queue waits for something without an event.

        Returns:
            The processes that have ended, each with what its supervisor printed and its exit code.
        """
        ready = self._selector.select(self._timeout(timeout_s, poll=poll))
        ended = [self._close(key.fd) for key, _ in ready if key.fd in self._processes]
        if any(key.fd == self._signals.fd for key, _ in ready):
            self._signals.drain()
        while self._stops < self._signals.stops:
            self._stops += 1
            self._stop(hard=self._stops > 1)
        for fd, watched in self._processes.items():
            if watched.kill_at is not None and time.monotonic() >= watched.kill_at:
                processes.send(fd, signal.SIGKILL)
        return ended

    def _timeout(self, timeout_s: float | None, *, poll: bool) -> float | None:
        now = time.monotonic()
        limits = [watched.kill_at - now for watched in self._processes.values() if watched.kill_at is not None]
        limits += [_POLL_S] if poll or self.remote else []
        limits += [timeout_s] if timeout_s is not None and self._processes else []
        return max(0.0, min(limits)) if limits else None

    def _close(self, fd: int) -> tuple[Watched, str, int]:
        self._selector.unregister(fd)
        watched = self._processes.pop(fd)
        if watched.started is None:
            os.close(fd)
            return watched, "", 0
        code, said = watched.started.close()
        return watched, said, code

    def _stop(self, *, hard: bool) -> None:
        """Ask every process to write a checkpoint and end; if `hard`, to end at once."""
        self.remote.clear()
        for fd, watched in self._processes.items():
            if not hard:
                processes.send(fd, signal.SIGTERM)
            else:  # on SIGQUIT a supervisor kills its command
                processes.send(fd, signal.SIGQUIT if watched.kill_at is None else signal.SIGKILL)
