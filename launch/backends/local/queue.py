"""The queue of one sweep on this machine: starts supervisors as slots become free, and waits until they end.

The queue stores no state except in the run directories, so it may be killed at any moment: the supervisors continue,
and the next queue finds them.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import final

from launch.backends.base import OnChange
from launch.backends.local.slots import Slot, Slots, find_machine
from launch.backends.local.start import build_request, send_request
from launch.backends.local.stop_signals import StopSignals
from launch.backends.local.watcher import Watched, Watcher
from launch.errors import StoreError
from launch.specs.resources import Resources
from launch.store.attempts import attempt_path, find_attempt
from launch.store.files import fault_point, store_error
from launch.store.manifest import read_header
from launch.store.queue_lock import lock_queue
from launch.store.state import TERMINAL, State
from launch.store.sweep_state import SweepState
from launch.store.view import RunView
from launch.supervise.arguments import SupervisorArgs
from launch.supervise.outcome import Outcome

QUEUE_LOG = "queue.log"
_REPORT_S = 1.0


@dataclass(frozen=True, kw_only=True)
class QueueOptions:
    """The options of a queue.

    Attributes:
        slots: How many runs may execute at once; None for as many as fit.
        slots_per_gpu: How many runs may share a GPU.
        environment: The environment of the runs.
        on_change: Called with the views of the generation's runs when one changes, and about once a second.
        on_begin: Called once this process has locked the queue and read the sweep.
    """

    slots: int | None
    slots_per_gpu: int
    environment: Mapping[str, str]
    on_change: OnChange | None = None
    on_begin: Callable[[], None] | None = None


def run_queue(sweep: SweepState, generation: int, options: QueueOptions) -> None:
    """Start the runs of a generation that are not done; return when no run is left to start or to wait for.

    Raises:
        LaunchError: If another process runs the sweep, or its folder cannot be written.
    """
    lock = lock_queue(sweep.folder, generation)
    try:
        with StopSignals() as signals, Watcher(signals) as watcher:
            fault_point("queue.held")
            queue = LocalQueue(sweep, generation, options, watcher)
            if options.on_begin is not None:
                options.on_begin()
            queue.work()
    finally:
        os.close(lock)


@final
class LocalQueue:
    """Starts the runs of one generation and waits for them.

    Runs in a terminal state are skipped, running runs are waited for, and all other runs are started.

    Args:
        sweep: The sweep, whose queue this process has locked.
        generation: The generation.
        options: The options of the queue.
        watcher: Waits for the processes of the runs.
    """

    def __init__(self, sweep: SweepState, generation: int, options: QueueOptions, watcher: Watcher) -> None:
        self._sweep = sweep = sweep.refreshed(fed=frozenset(sweep.manifest.run_ids.get(generation, ())))
        self._options = options
        self._watcher = watcher
        self._manifest = sweep.manifest
        if generation not in self._manifest.headers:
            read_header(sweep.folder, generation)  # raises an error that says why the generation cannot be read
        self._run_ids = self._manifest.run_ids[generation]
        gpus = any(self._manifest.listed[run_id].entry.resources.gpus_per_node for run_id in self._run_ids)
        self._slots = Slots(find_machine(gpus=gpus), options.slots_per_gpu)
        limits = (options.slots, self._manifest.headers[generation].max_parallel)
        self._limit = min((limit for limit in limits if limit is not None), default=None)
        self._views: dict[str, RunView] = {}
        self._waiting: dict[Resources, deque[str]] = {}
        self._restarts: Counter[str] = Counter()
        self._is_blocked = False
        self._reported = 0.0
        self._error: StoreError | None = None
        self._blocked = frozenset(self._run_ids)
        self._unblock()
        for run_id in self._run_ids:
            self._enqueue(run_id, self._known(run_id))

    def work(self) -> None:
        """Start runs and wait for them until none is left.

        Raises:
            StoreError: If a run directory could not be used. It is raised after the runs that had begun have ended.
        """
        while self._watcher.is_busy or any(self._waiting.values()):
            self._start_waiting()
            self._report()
            if self._watcher.is_busy or any(self._waiting.values()):
                self._wait()
        self._report(last=True)
        if self._error is not None:
            raise self._error

    def _look(self, run_id: str) -> RunView:
        view = self._views[run_id] = self._sweep.read_view(run_id)
        return view

    def _known(self, run_id: str) -> RunView:
        return self._views.get(run_id) or self._look(run_id)

    def _enqueue(self, run_id: str, view: RunView) -> None:
        """Wait for a run if it is running; if it is ready to start, append it to the waiting runs."""
        if view.state is State.RUNNING:
            self._watcher.add_running(run_id, view)
        elif view.state not in TERMINAL and run_id not in self._blocked:
            self._waiting.setdefault(view.resources, deque()).append(run_id)

    def _unblock(self) -> list[str]:
        """Return the runs that were blocked by their predecessors before and are not blocked any more."""
        before = self._blocked
        unmet = self._sweep.dependencies.open_requirements(before, lambda run_id: self._known(run_id).state)
        self._blocked = frozenset(unmet.of)
        return [run_id for run_id in self._run_ids if run_id in before and run_id not in self._blocked]

    def _start_waiting(self) -> None:
        """Start the runs that fit."""
        self._is_blocked = False
        for resources, waiting in list(self._waiting.items()):
            while waiting and not self._error and (self._limit is None or self._watcher.count < self._limit):
                if not self._start_first(resources, waiting):
                    break

    def _start_first(self, resources: Resources, waiting: deque[str]) -> bool:
        """Start the first run of those that wait for the same resources; return False if no slot is free for it."""
        run_id = waiting[0]
        view = self._look(run_id)
        if view.state is State.RUNNING or view.state in TERMINAL:  # cancelled, or started by another process
            waiting.popleft()
            self._go_on(run_id, view)
            return True
        slot = self._slots.take(resources)
        if slot is None:
            # Poll only if other sweeps hold the slots: the end of our own runs is an event, the end of theirs is not.
            if self._slots.leaves_room(self._watcher.slots(), resources):
                self._is_blocked = True
                self._views[run_id] = replace(view, message=_waits_for(resources, self._slots.used_by_others()))
            return False
        waiting.popleft()
        try:
            self._start(run_id, view, slot)
        finally:
            slot.close()  # the supervisor has inherited its locks
        return True

    def _start(self, run_id: str, view: RunView, slot: Slot) -> None:
        listed = self._manifest.listed[run_id]
        arguments = SupervisorArgs(
            run_dir=view.run_dir,
            generation=listed.generation,
            retried=listed.retried,
            cores=slot.cores,
            gpus=slot.gpus,
            hold=slot.locks,
        )
        try:
            started = send_request(build_request(arguments, self._options.environment, os.getcwd()))
        except OSError as error:
            self._fail_all(store_error(error, f"start a process for {run_id}"))
            return
        self._watcher.add_started(run_id, started, slot)
        fault_point("queue.started")

    def _wait(self) -> None:
        """Wait for the next event, and decide whether the runs that have ended start again."""
        timeout_s = None if self._options.on_change is None else _REPORT_S
        ended = self._watcher.wait(timeout_s, poll=self._is_blocked)
        for watched, said, code in ended:
            self._end(watched, said, code)
        if self._watcher.is_stopping:
            self._waiting.clear()
        for run_id in list(self._watcher.remote):
            view = self._look(run_id)
            if view.state is not State.RUNNING:
                self._watcher.remote.discard(run_id)
                self._go_on(run_id, view)

    def _end(self, watched: Watched, said: str, code: int) -> None:
        """Handle the end of a process."""
        view = self._look(watched.run_id)
        if said:
            self._log(said)
        # A supervisor that returns FAILED has recorded the end of the run; if it has not, the supervisor itself failed.
        if code == Outcome.STORE_ERROR or (code == Outcome.FAILED and view.state not in TERMINAL):
            self._fail_all(StoreError(said or f"{view.run_dir}: its supervisor failed with exit code {code}"))
        self._reported = 0.0
        if watched.run_id not in self._watcher.runs():  # a run may have left several orphans
            self._go_on(watched.run_id, view)

    def _go_on(self, run_id: str, view: RunView) -> None:
        """Decide whether a run whose processes have ended, and the runs that wait for it, are started."""
        if self._watcher.is_stopping or self._error:
            return
        # Only a run that others may wait for unblocks others: looking through thousands of them takes milliseconds.
        if view.state is State.SUCCEEDED and self._blocked and self._manifest.listed[run_id].entry.provides:
            for other in self._unblock():
                self._enqueue(other, self._look(other))
        if view.state not in TERMINAL and view.state is not State.RUNNING:
            record = find_attempt(attempt_path(view.run_dir, view.attempts - 1))
            if record is None or not record.retry:
                # Its supervisor was killed, or another process stopped the run. The policy for killed runs limits such
                # restarts too: else a run that kills its supervisor every time would be started for ever.
                self._restarts[run_id] += 1
                policy = self._manifest.headers[self._manifest.listed[run_id].generation].retry
                if self._restarts[run_id] > policy.get("killed", 0):
                    return
        self._enqueue(run_id, view)

    def _fail_all(self, error: StoreError) -> None:
        """Start no other run: an error that keeps one run from starting would keep all from starting."""
        self._error = self._error or error
        self._waiting.clear()

    def _log(self, said: str) -> None:
        """Append to the sweep's log what a supervisor printed."""
        try:
            with open(os.path.join(self._sweep.folder, QUEUE_LOG), "a") as log:
                log.write(said + "\n")
        except OSError:
            pass  # the error that is raised at the end has the same text

    def _report(self, *, last: bool = False) -> None:
        """Call `on_change` with the views after a change, and about once a second."""
        if self._options.on_change is None or not (last or time.monotonic() - self._reported >= _REPORT_S):
            return
        for run_id in self._watcher.runs():
            self._look(run_id)
        self._reported = time.monotonic()
        views = [self._views[run_id] for run_id in self._run_ids]
        if self._manifest.has_dependencies:
            views = self._sweep.dependencies.describe_waiting(views, self._look, fed=self._run_ids)
        self._options.on_change(views)


def _waits_for(resources: Resources, used: Mapping[int, str]) -> str:
    """Return the message for a run that does not start because other sweeps or other programs hold the slots."""
    count, kind = resources.gpus_per_node or resources.cpus_per_task, "GPU" if resources.gpus_per_node else "core"
    what = f"waits for {count} {kind}{'s' if count > 1 else ''}"
    if resources.gpus_per_node and used:
        uses = "; ".join(f"GPU {gpu}: {use}" for gpu, use in sorted(used.items()))
        return f"{what}; {uses} (`slots_per_gpu: 2` in the profile shares it)"
    return f"{what} that other sweeps on this machine hold"
