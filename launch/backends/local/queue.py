"""The queue of one sweep on this machine: starts supervisors as slots become free, and waits for their ends.

It keeps nothing in memory that the run directories do not say, so it may die at any moment: the supervisors go on,
and the next queue finds them.
"""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from launch.backends.base import OnChange
from launch.backends.local.ready import ReadySet
from launch.backends.local.slots import Slot, Slots, find_machine
from launch.backends.local.start import StartedSupervisor, build_request, send_request
from launch.backends.local.stop_signals import StopSignals
from launch.errors import StoreError
from launch.specs.resources import Resources
from launch.store import processes
from launch.store.attempts import attempt_path, read_raw_record
from launch.store.files import fault_point, store_error
from launch.store.liveness import is_here, is_locked
from launch.store.manifest import ListedRun, Manifest
from launch.store.state import OVER, State
from launch.store.store import SweepStore
from launch.store.view import RunView
from launch.supervise.arguments import SupervisorArgs
from launch.supervise.supervisor import Outcome
from s5.run_dir.result import ATTEMPT_DIR_VARIABLE

_POLL_S = 0.2  # for what no event tells: slots and runs in the hands of processes that are not ours
_REPORT_S = 1.0
_ORPHAN_GRACE_S = 35.0  # its own lifeline ends an orphan within 30 s


@dataclass(kw_only=True)
class _Watched:
    """A process to wait for: a supervisor of ours, one that an earlier queue started, or an orphan.

    Attributes:
        run_id: Its run.
        started: The supervisor we started; None for a process that is not ours.
        slot: What we gave it.
        kill_at: When an orphan is killed, on the monotonic clock.
    """

    run_id: str
    started: StartedSupervisor | None = None
    slot: Slot | None = None
    kill_at: float | None = None


class LocalQueue:
    """Feeds the runs of one generation.

    Args:
        sweep: The sweep.
        generation: The generation.
        slots: Runs at once; None for as many as fit.
        slots_per_gpu: Runs that share a GPU.
        environment: The environment of the runs.
        on_change: Called with the views of the generation's runs when one changes, and about once a second.
        on_begin: Called once the queue belongs to this process and it knows what to do.
    """

    def __init__(
        self,
        sweep: SweepStore,
        generation: int,
        *,
        slots: int | None,
        slots_per_gpu: int,
        environment: Mapping[str, str],
        on_change: OnChange | None = None,
        on_begin: Callable[[], None] | None = None,
    ) -> None:
        self._sweep = sweep
        self._generation = generation
        self._slots_per_gpu = slots_per_gpu
        self._most = slots
        self._environment = environment
        self._on_change = on_change
        self._on_begin = on_begin
        self._manifest = Manifest()
        self._turns = ReadySet(self._manifest, self._look)
        self._views: dict[str, RunView] = {}
        self._waiting: dict[Resources, deque[str]] = {}
        self._live: dict[int, _Watched] = {}
        self._unseen: set[str] = set()
        self._again: Counter[str] = Counter()
        self._stops = 0
        self._blocked = False
        self._reported = 0.0
        self._trouble: StoreError | None = None

    def run(self) -> None:
        """Start every run that is left, and return when none is.

        Raises:
            LaunchError: Where another process feeds the sweep, or its folder cannot be written.
        """
        lock = self._sweep.lock_queue(self._generation)
        try:
            with StopSignals() as self._signals, selectors.DefaultSelector() as self._selector:
                self._selector.register(self._signals.fd, selectors.EVENT_READ)
                fault_point("queue.held")
                self._begin()
                if self._on_begin is not None:
                    self._on_begin()
                while self._live or self._unseen or self._is_waiting():
                    self._start_some()
                    self._report()
                    self._handle_signals(self._timeout())
                self._report(last=True)
        finally:
            os.close(lock)
        if self._trouble is not None:
            raise self._trouble

    def _begin(self) -> None:
        """Look at every run: what is over stays over, what lives is waited for, the rest is to be started."""
        self._sweep.header(self._generation)  # says what is wrong, where it cannot be read
        self._manifest = self._sweep.manifest()
        run_ids = self._manifest.run_ids[self._generation]
        machine = find_machine(gpus=any(self._listed(run_id).entry.resources.gpus_per_node for run_id in run_ids))
        self._machine = machine
        self._slots = Slots(machine, self._slots_per_gpu)
        limits = [self._most, self._manifest.headers[self._generation].max_parallel]
        self._most = min((limit for limit in limits if limit is not None), default=None)
        self._turns = ReadySet(self._manifest, self._look)
        for run_id in run_ids:
            self._enqueue(run_id, self._look(run_id))

    def _listed(self, run_id: str) -> ListedRun:
        return self._manifest.listed[run_id]

    def _look(self, run_id: str) -> RunView:
        view = self._views[run_id] = self._sweep.view_of(self._listed(run_id), fed=True)
        return view

    def _enqueue(self, run_id: str, view: RunView) -> None:
        if view.state is State.RUNNING:
            self._watch(run_id, view)
        elif view.state not in OVER and self._turns.is_ready(run_id):
            self._waiting.setdefault(view.resources, deque()).append(run_id)
        self._enqueue_dependents(run_id, view)

    def _enqueue_dependents(self, run_id: str, view: RunView) -> None:
        """Take up the runs whose turn has come by the success of another."""
        if view.state is State.SUCCEEDED:
            for other in self._turns.succeeded(run_id):
                self._enqueue(other, self._look(other))

    def _is_waiting(self) -> bool:
        return any(self._waiting.values())

    def _watch(self, run_id: str, view: RunView) -> None:
        """Wait for a run that lives already: its supervisor; where that is gone, what it started is asked to end."""
        path = attempt_path(view.run_dir, view.attempts - 1)
        record = read_raw_record(path)
        if record and not is_here(record) and not is_locked(path):
            return  # on another machine; whoever started it there sees it through
        fd = processes.open_process(record["pid"], record["pid_start"]) if record else None
        if fd is not None:
            self._add(fd, _Watched(run_id=run_id))
            return
        orphans = processes.find_by_environment(ATTEMPT_DIR_VARIABLE, path)
        for fd in orphans:
            processes.send(fd, signal.SIGTERM)
            self._add(fd, _Watched(run_id=run_id, kill_at=time.monotonic() + _ORPHAN_GRACE_S))
        if not orphans:
            self._unseen.add(run_id)

    def _add(self, fd: int, live: _Watched) -> None:
        self._live[fd] = live
        self._selector.register(fd, selectors.EVENT_READ)

    def _start_some(self) -> None:
        """Start what fits."""
        self._blocked = False
        for resources, waiting in list(self._waiting.items()):
            while waiting and not self._trouble and (self._most is None or len(self._live) < self._most):
                if not self._start_first(resources, waiting):
                    break

    def _start_first(self, resources: Resources, waiting: deque[str]) -> bool:
        """Start the first of the runs that wait for a kind of slot; return whether it waits no more."""
        run_id = waiting[0]
        view = self._look(run_id)
        if view.state is State.RUNNING or view.state in OVER:  # cancelled, or begun by somebody else
            waiting.popleft()
            self._enqueue(run_id, view)
            return True
        slot = self._slots.take(resources)
        if slot is None:
            if not self._is_full_by_us(resources):
                self._blocked = True
                self._views[run_id] = replace(view, message=_waits_for(resources))
            return False
        waiting.popleft()
        try:
            self._start(run_id, view, slot)
        finally:
            slot.close()  # the supervisor holds it now
        return True

    def _start(self, run_id: str, view: RunView, slot: Slot) -> None:
        listed = self._listed(run_id)
        order = SupervisorArgs(
            run_dir=view.run_dir,
            generation=listed.generation,
            retried=listed.retried,
            cores=slot.cores,
            gpus=slot.gpus,
            hold=slot.locks,
        )
        try:
            started = send_request(build_request(order, self._environment, os.getcwd()))
        except OSError as error:
            self._fail_all(store_error(error, f"start a process for {run_id}"))
            return
        self._add(started.fd, _Watched(run_id=run_id, started=started, slot=slot))
        fault_point("queue.started")

    def _is_full_by_us(self, resources: Resources) -> bool:
        """Say whether our own runs leave no room for another one: then only one of their ends can make some."""
        slots = [live.slot for live in self._live.values() if live.slot is not None]
        if resources.gpus_per_node:
            room = len(self._machine.gpus) * self._slots_per_gpu - sum(len(slot.gpus) for slot in slots)
            return room < resources.gpus_per_node
        return len(self._machine.cores) - sum(len(slot.cores) for slot in slots) < resources.cpus_per_task

    def _timeout(self) -> float | None:
        """Return how long to wait for an event at most."""
        limits = [live.kill_at - time.monotonic() for live in self._live.values() if live.kill_at is not None]
        if self._blocked or self._unseen:
            limits.append(_POLL_S)
        if self._on_change is not None and self._live:
            limits.append(_REPORT_S)
        return max(0.0, min(limits)) if limits else None

    def _handle_signals(self, timeout_s: float | None) -> None:
        """Wait for an end, a signal, or the time to look again."""
        if not (self._live or self._unseen or self._is_waiting()):
            return
        for key, _ in self._selector.select(timeout_s):
            if key.fd == self._signals.fd:
                self._signals.drain()
            elif key.fd in self._live:
                self._ended(key.fd)
        while self._stops < self._signals.stops:
            self._stops += 1
            self._stop(hard=self._stops > 1)
        for run_id in [run_id for run_id in self._unseen if not self._is_running(run_id)]:
            self._unseen.discard(run_id)
            self._after(run_id, self._views[run_id])
        for fd, live in self._live.items():
            if live.kill_at is not None and time.monotonic() >= live.kill_at:
                processes.send(fd, signal.SIGKILL)

    def _is_running(self, run_id: str) -> bool:
        return self._look(run_id).state is State.RUNNING

    def _stop(self, *, hard: bool) -> None:
        """Start nothing more, and end what lives: in good order, or at once."""
        self._waiting.clear()
        self._unseen.clear()
        for fd, live in self._live.items():
            if live.kill_at is not None:
                processes.send(fd, signal.SIGKILL if hard else signal.SIGTERM)
            else:
                processes.send(fd, signal.SIGQUIT if hard else signal.SIGTERM)

    def _ended(self, fd: int) -> None:
        """See what became of a run whose process has ended."""
        self._selector.unregister(fd)
        live = self._live.pop(fd)
        view = self._look(live.run_id)
        if live.started is None:
            os.close(fd)
        else:
            code, said = live.started.close()
            if said:
                self._note(said)
            # A supervisor that calls it final has recorded why; one that has not failed itself.
            if code == Outcome.STORE or (code == Outcome.FINAL and view.state not in OVER):
                self._fail_all(StoreError(said or f"{view.run_dir}: its supervisor failed with exit code {code}"))
        self._reported = 0.0
        if not any(other.run_id == live.run_id for other in self._live.values()):  # an orphan may be several processes
            self._after(live.run_id, view)

    def _after(self, run_id: str, view: RunView) -> None:
        """Decide what is to become of a run on which nobody of ours works any more."""
        if self._stops or self._trouble:
            return
        if view.state in OVER:
            self._enqueue_dependents(run_id, view)
            return
        if view.state is State.RUNNING:
            self._watch(run_id, view)
            return
        record = read_raw_record(attempt_path(view.run_dir, view.attempts - 1))
        if not record.get("retry"):
            # Its supervisor was killed, or somebody else stopped it. The policy for killed runs limits this too:
            # something that kills every attempt must not be fed for ever.
            self._again[run_id] += 1
            if self._again[run_id] > self._manifest.headers[self._listed(run_id).generation].retry.get("killed", 0):
                return
        self._enqueue(run_id, view)

    def _fail_all(self, trouble: StoreError) -> None:
        """Start nothing more: what stands in the way of one run stands in the way of all."""
        self._trouble = self._trouble or trouble
        self._waiting.clear()

    def _note(self, said: str) -> None:
        """Keep what a supervisor said beside the sweep."""
        try:
            with open(self._sweep.path / "queue.log", "a") as log:
                log.write(said + "\n")
        except OSError:
            pass  # it is said again where the trouble is raised

    def _report(self, *, last: bool = False) -> None:
        """Tell whoever draws a table, when something has changed and about once a second."""
        if self._on_change is None or not (last or time.monotonic() - self._reported >= _REPORT_S):
            return
        for live in list(self._live.values()):
            self._look(live.run_id)
        self._reported = time.monotonic()
        own = self._manifest.run_ids[self._generation]
        self._on_change(self._turns.tell([self._views[run_id] for run_id in own]))


def _waits_for(resources: Resources) -> str:
    """Say why a run does not start though this sweep leaves room for it."""
    count, kind = resources.gpus_per_node or resources.cpus_per_task, "GPU" if resources.gpus_per_node else "core"
    return f"waits for {count} {kind}{'s' if count > 1 else ''} that other sweeps on this machine hold"
