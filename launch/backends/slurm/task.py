"""Executes one task of a job array: the last line of its batch script.

`python -m launch.backends.slurm.task ARRAY_FILE`

The process finds its run in the array's record by the task's index, and supervises it like a local run. Three things
are special for Slurm: the job's time limit, the meaning of a signal, and the requeue, requested outside the container.
"""

from __future__ import annotations

import itertools
import math
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import final

from launch.backends.slurm.arrays import (
    EARLY_S,
    ArrayRecord,
    find_task,
    has_left_queue,
    leave_early,
    live_arrays,
    read_array,
    remove_empty_logs,
)
from launch.backends.slurm.client import ClientError, run_client
from launch.backends.slurm.srun import name_of, srun_call
from launch.containers.runtimes import HostCommand
from launch.errors import BackendError, LaunchError
from launch.specs.gpu import Gpu, parse_gpus
from launch.store.attempts import attempt_path
from launch.store.files import fault_point
from launch.store.liveness import is_locked
from launch.store.manifest import read_header
from launch.store.records import AttemptRecord
from launch.store.run_result import has_result
from launch.store.state import Reason, State
from launch.store.sweep_state import SweepState
from launch.supervise.arguments import SupervisorArgs
from launch.supervise.host import Host
from launch.supervise.outcome import Outcome
from launch.supervise.retry_policy import allows_another, check_nodes
from launch.supervise.supervisor import Supervisor, run_with_signals_blocked

# Slurm is first asked for the job's end after this time, so that a run that ends at once does not wait for the answer.
_FIRST_LOOK_S = 2.0
# The most time that the supervisor keeps before Slurm's kill, to record how the attempt ended.
_MOST_LAST_WORDS_S = 5.0
_ASK_TIMEOUT_S = 10.0
_REQUEUE_PATIENCE_S = 60.0
_REQUEUE_PAUSE_S = 2.0
_FEED_TIMEOUT_S = 120.0
# How long the server of a file system keeps the lock of a dead node.
_LEASE_S = 100.0
_LEASE_POLL_S = 0.5
# How long a new result may stay invisible on other nodes of a shared file system.
_SEEN_S = 65.0

_SETTING = re.compile(r"(\w+)=(\S+)")


@final
class SlurmTask(Host):
    """The host of an attempt that is a task of a Slurm array.

    Args:
        record: The record of the array.
        sweep: The sweep's folder.
        environment: The variables that Slurm sets for the job.
    """

    def __init__(self, record: ArrayRecord, sweep: str, environment: Mapping[str, str]) -> None:
        self.sweep = sweep
        self.resources = record.resources
        self.index = int(environment["SLURM_ARRAY_TASK_ID"])
        # Not SLURM_JOB_ID: for the last task that is the number of the whole array, so it would name all tasks.
        self.job_id = f"{environment['SLURM_ARRAY_JOB_ID']}_{self.index}"
        self.node = environment.get("SLURMD_NODENAME") or environment.get("SLURM_JOB_NODELIST")
        self.restarts = int(environment.get("SLURM_RESTART_COUNT") or 0)
        self._record = record
        self._began = time.time()
        self._end = _number(environment.get("SLURM_JOB_END_TIME"))  # from Slurm 23.02
        self._is_ending = False

    def host_command(self, command: HostCommand) -> HostCommand:
        """Return the command itself, or for a run of several processes the srun command that starts them.

        Raises:
            TooManyNodeFailures: If too many nodes failed under the run: else Slurm would start it again for ever.
        """
        if self.restarts:
            own = find_task(self._record, self.index)
            header = read_header(self.sweep, own.generation)
            check_nodes(header.retry, os.path.join(self.sweep, own.run_id), since=own.retried)
        if not self._needs_step(command):
            return command
        return srun_call(command, self._record.resources, os.environ, name_of(self.node))

    def stop_signal(self, command: HostCommand) -> signal.Signals:
        """Return SIGTERM, or for a job step SIGUSR2, which srun forwards to all its processes."""
        return signal.SIGUSR2 if self._needs_step(command) else signal.SIGTERM

    def _needs_step(self, command: HostCommand) -> bool:
        return self._record.resources.tasks > 1 or command.step is not None

    def limits(self, timeout_min: float | None) -> Callable[[], tuple[float, float]]:
        """Return the function, which computes the two times from the end of the job's time limit."""
        looks = itertools.count()

        def find() -> tuple[float, float]:
            if next(looks):
                asked_for = None if timeout_min is None else self._began + 60 * timeout_min
                self._end = self._ask_end() or self._end or asked_for
            elif self._end is None:
                return time.monotonic() + _FIRST_LOOK_S, math.inf
            return (math.inf, math.inf) if self._end is None else self._before(self._end)

        return find

    def _before(self, end: float) -> tuple[float, float]:
        """Return two times of the monotonic clock: to ask a command to stop, and to kill it, before its job ends."""
        now, left, delay = time.monotonic(), end - time.time(), self._record.signal_delay_s
        return now + max(0.0, left - delay), now + max(0.0, left - min(_MOST_LAST_WORDS_S, delay / 4))

    def _ask_end(self) -> float | None:
        """Ask Slurm when the job's time limit ends; return None without a limit, or if Slurm does not answer."""
        with suppress(BackendError):
            return _moment(
                run_client(["squeue", "-h", "-j", str(self.job_id), "-o", "%e"], timeout_s=_ASK_TIMEOUT_S).strip()
            )
        return None

    def stop_reason(self) -> Reason:
        """Return the reason for a signal: Slurm sends the same signals for preemption, time limit and scancel."""
        if (ending := self.ending_reason()) is not None:
            return ending
        left = None if self._end is None else self._end - time.time()
        timed = left is not None and left <= self._record.signal_delay_s + EARLY_S
        return Reason.TIMEOUT if timed else Reason.PREEMPTED

    def grace_s(self, reason: Reason) -> float:
        """Return `signal_delay_s` if `launch cancel` asked; whatever else asks is Slurm, which kills by itself."""
        return self._record.signal_delay_s if reason is Reason.CANCELLED else math.inf

    def ending_reason(self) -> Reason | None:
        """Ask Slurm why it is ending or preempting the job; return None if it is not, or does not answer."""
        from launch.backends.slurm.squeue import RUNNING  # few tasks are asked to stop

        try:
            words = ["scontrol", "show", "job", str(self.job_id), "-o"]
            said = dict(_SETTING.findall(run_client(words, timeout_s=_ASK_TIMEOUT_S)))
        except BackendError:
            said = {}
        # The job is ending if it was cancelled, or preempted without grace; then Slurm itself starts it again.
        self._is_ending = bool(said) and said.get("JobState") not in RUNNING - {"COMPLETING"}
        if not self._is_ending:  # of an ending job, EndTime is the present moment
            self._end = _moment(said.get("EndTime", "")) or self._end
        if said.get("PreemptTime", "None") != "None":
            return Reason.PREEMPTED  # preempted with grace: Slurm does not requeue a job that ends by itself
        if not self._is_ending:
            return None
        return Reason.TIMEOUT if self._end is not None and self._end <= time.time() else Reason.INTERRUPTED

    def job_is_gone(self, record: AttemptRecord) -> bool:
        """Return whether Slurm knows that no process works on an attempt that ran on another node."""
        job = record.job_id
        if record.backend != "slurm" or job is None:
            return False
        if self._is_elsewhere(record):
            return False
        # A job has one supervisor at a time: another attempt with the same job number is from before a requeue.
        return (job == self.job_id or _is_gone(job)) and self._wait_for_lock(record)

    def _is_elsewhere(self, record: AttemptRecord) -> bool:
        """Return whether an attempt belongs to an array of another cluster, whose jobs cannot be asked for here."""
        job, here = (record.job_id or "").partition("_")[0], self._record.cluster
        places = {array.record.cluster or here for array in live_arrays(self.sweep) if array.job == job}
        return here is not None and bool(places) and here not in places

    def _wait_for_lock(self, record: AttemptRecord) -> bool:
        """Wait until the lock of an attempt whose machine is gone is free; return whether it is free."""
        run_dir = os.path.join(self.sweep, find_task(self._record, self.index).run_id)
        path, deadline = attempt_path(run_dir, record.attempt), time.monotonic() + _LEASE_S
        while is_locked(path):
            if time.monotonic() > deadline:
                return False
            time.sleep(_LEASE_POLL_S)
        return True

    def leave(self, outcome: Outcome, reason: Reason | None) -> int:
        """Requeue the job if the run needs another attempt, and submit runs that are left; called before the task ends.

        Args:
            outcome: The outcome that the supervisor returned.
            reason: Why the attempt ended.

        Returns:
            The exit code of the batch script.
        """
        if reason is None:  # another process works on the run, or it needs no attempt
            leave_early(self.sweep, self._record.uuid, self.index)
        run_dir = os.path.join(self.sweep, find_task(self._record, self.index).run_id)
        goes_on = outcome is Outcome.RETRY and (reason is not Reason.MACHINE or allows_another(run_dir))
        grows = reason is Reason.OUT_OF_MEMORY and self._record.resources.mem_growth > 1
        requeued = goes_on and not grows and not self._is_ending and self._record.requeue and self._requeue()
        # If this run has failed, arrays that wait for this array would never begin, even if they need only other runs.
        waits = (name.partition("_")[0] for array in live_arrays(self.sweep) for name in array.record.waits)
        unsettled = outcome is not Outcome.DONE and not requeued and (goes_on or self._record.uuid in waits)
        if self._record.feeds and not self._is_ending and (unsettled or has_left_queue(self.sweep)):
            self._feed("" if requeued else self.job_id)
        if reason is not None:
            remove_empty_logs(self.sweep, self._record.uuid, self.index)
        return self._exit_code(Outcome.DONE if outcome is Outcome.BUSY else outcome)

    def _exit_code(self, outcome: Outcome) -> int:
        """Return the exit code for an outcome: not one after which this cluster starts a job again by itself."""
        taken = self._record.requeue_exits if outcome is not Outcome.DONE else ()
        return next((code for code in (outcome, *range(77, 126), *range(2, 74)) if code not in taken), outcome)

    def unfinished_predecessor(self) -> str | None:
        """Return the first predecessor that still has no result after a wait; None if all have results.

        Slurm starts this task when the jobs before it have ended with exit code 0. This checks their results on disk.
        """
        if not self._record.waits:
            return None
        run_id = find_task(self._record, self.index).run_id
        # Only the run's predecessors: the array may wait for whole arrays, with many more runs.
        state = SweepState.read(self.sweep, fed=())
        before = list(state.dependencies.predecessors(run_id))
        deadline = time.monotonic() + _SEEN_S
        while before := [other for other in before if not has_result(os.path.join(self.sweep, other))]:
            # Slurm counts `afterok:12_3` as met if task 3 was cancelled before it began: a wait would hold the node.
            for other in before:
                if state.view(other).state in (State.FAILED, State.CANCELLED):
                    return other
            if time.monotonic() > deadline:
                return before[0]
            time.sleep(_LEASE_POLL_S)
            state = state.refreshed(fed=())
        return None

    def leave_early(self) -> int:
        """End without an attempt, so that the run is submitted again; return the exit code of the batch script."""
        leave_early(self.sweep, self._record.uuid, self.index)
        if self._record.feeds:
            self._feed(self.job_id)
        return self._exit_code(Outcome.RETRY)

    def _requeue(self) -> bool:
        """Ask Slurm to start this task again; return whether it will."""
        fault_point("task.requeue")
        deadline = time.monotonic() + _REQUEUE_PATIENCE_S
        while True:
            try:
                run_client(["scontrol", "requeue", str(self.job_id)], timeout_s=_ASK_TIMEOUT_S)
            except BackendError as error:
                if isinstance(error, ClientError) or time.monotonic() >= deadline:
                    _say(f"{error.message}; the sweep's command, typed again, continues the run")
                    return False
                time.sleep(_REQUEUE_PAUSE_S)  # the controller is being started again
            else:
                return True

    def _feed(self, leaving: str | None) -> None:
        """Submit the runs that are left, as if the task `leaving` had ended, in a process that has all packages."""
        import subprocess

        boot = "import sys; sys.path.insert(0, sys.argv.pop(1)); from launch.backends.slurm.feed import main; "
        words = [self.sweep, self._record.profile, str(self._record.generation), leaving or ""]
        command = [sys.executable, "-P", "-c", boot + "sys.exit(main(sys.argv[1:]))", sys.path[0], *words]
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(command, stdin=subprocess.DEVNULL, timeout=_FEED_TIMEOUT_S, check=False)


def _is_gone(job: str) -> bool:
    """Return whether Slurm knows for certain that a job does not run."""
    from launch.backends.slurm.squeue import RUNNING

    try:
        said = run_client(["squeue", "-h", "-j", job, "-o", "%T"], timeout_s=_ASK_TIMEOUT_S)
    except ClientError as error:
        return "Invalid job id" in error.said
    except BackendError:
        return False
    return not RUNNING & {line.strip() for line in said.splitlines()}


def _moment(text: str) -> float | None:
    """Return the seconds since the epoch of a time that Slurm prints; None for `N/A` or `Unknown`."""
    with suppress(ValueError, OverflowError):
        return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M:%S"))
    return None


def _number(text: str | None) -> float | None:
    return float(text) if text and text.isdigit() and int(text) > 0 else None


def _say(words: str) -> None:
    """Print a line to the array's log."""
    with suppress(OSError):
        sys.stderr.write(f"{words}\n")
        sys.stderr.flush()


def execute(file: str) -> int:
    """Execute the task of this process, whose array has its record in `file`; return the exit code.

    Raises:
        LaunchError: If the record or the task cannot be found.
    """
    record = read_array(file)
    try:
        task = SlurmTask(record, os.path.dirname(os.path.dirname(os.path.abspath(file))), os.environ)
    except KeyError as error:
        raise LaunchError(f"{error.args[0]} is not set: this process is not a task of a Slurm array") from None
    own = find_task(record, task.index)
    order = SupervisorArgs(
        run_dir=os.path.join(task.sweep, own.run_id),
        generation=own.generation,
        retried=own.retried,
        gpus=_gpus(record, os.environ),
    )
    if (missing := task.unfinished_predecessor()) is not None:
        _say(f"{own.run_id} comes after {missing}, which has not succeeded; the sweep's command submits it again")
        return task.leave_early()
    supervisor = Supervisor(order, task)
    return task.leave(supervisor.run(), supervisor.reason)


def _gpus(record: ArrayRecord, environment: Mapping[str, str]) -> tuple[Gpu, ...]:
    """Return the GPUs that Slurm gave the task."""
    return parse_gpus(environment.get("CUDA_VISIBLE_DEVICES", "")) if record.resources.gpus_per_node else ()


def main(words: Sequence[str] | None = None) -> int:
    """Execute one task of an array."""
    file = (sys.argv[1:] if words is None else list(words))[0]
    return run_with_signals_blocked(lambda: execute(file))


if __name__ == "__main__":
    sys.exit(main())
