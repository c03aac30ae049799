"""Executes one attempt of a run: `python -m launch.supervise RUN_DIR --generation N [--cores 0,1] [--gpus 0] ...`.

It claims the attempt, starts the command, forwards signals once, keeps the time limit, says why the command ended
and publishes its result. It runs on the machine that executes the attempt, and starts in milliseconds.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import IntEnum

from launch.containers.runtimes import ContainerCall, HostCommand
from launch.errors import LaunchError
from launch.specs.resources import Resources
from launch.store import processes
from launch.store.attempts import LOG, attempt_numbers, attempt_path, find_attempt, write_record
from launch.store.cancel_mark import cancelled_generation
from launch.store.claims import Claim, claim_attempt, remove_torn_claims
from launch.store.files import SNAPSHOTS, crc_of, fault_point, store_error
from launch.store.liveness import is_alive, is_here, is_locked
from launch.store.manifest import find_entry, read_header
from launch.store.record_json import from_json, read_json
from launch.store.records import AttemptRecord, ManifestEntry, ManifestHeader, RunRecord
from launch.store.run_result import (
    InvalidResult,
    adopt_result,
    has_result,
    publish_result,
    set_aside_result,
    write_empty_result,
)
from launch.store.state import Reason
from launch.supervise.after_file import AFTER_VARIABLE, write_dependencies
from launch.supervise.arguments import PYTHON_VARIABLE, SupervisorArgs
from launch.supervise.child import FORWARDED_SIGNALS, KILL, STOP, Child, NotStarted, end_orphan
from launch.supervise.classify import ExitInfo, classify, read_tail
from launch.supervise.container_session import ContainerSession, end_container
from launch.supervise.host import Host
from launch.supervise.retry_policy import TooManyNodeFailures, may_retry
from s5.run_dir.result import (
    ATTEMPT_DIR_VARIABLE,
    CONFIG,
    CWD_VARIABLE,
    PLATFORM_VARIABLE,
    RUN,
    RUN_DIR_VARIABLE,
    SUPERVISOR_PIPE_VARIABLE,
)

_THREAD_VARIABLES = ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Outcome(IntEnum):
    """The supervisor's exit code: what it tells whoever schedules attempts."""

    DONE = 0  # the run has a result
    FINAL = 1  # it failed, or it is cancelled
    STORE = 74  # the run directory cannot be read or written
    AGAIN = 75  # it stopped before its end; another attempt goes on
    BUSY = 76  # somebody else works on it


class Supervisor:
    """Sees one attempt of one run through.

    Args:
        order: What to do.
        surroundings: Who schedules; None for the launcher itself.

    Attributes:
        reason: Why the attempt ended; None before it has.
    """

    def __init__(self, order: SupervisorArgs, surroundings: Host | None = None) -> None:
        self.reason: Reason | None = None
        self._order = order
        self._surroundings = surroundings or Host()
        self._run_dir = order.run_dir
        sweep = os.path.dirname(order.run_dir)
        self._header: ManifestHeader = read_header(sweep, order.generation)
        self._entry: ManifestEntry = find_entry(sweep, order.generation, os.path.basename(order.run_dir))
        file = os.path.join(order.run_dir, RUN)
        self._run: RunRecord = from_json(RunRecord, read_json(file), file)
        self._enclosure = ContainerSession(
            self._header, order.run_dir, self._snapshot, sees_others=bool(self._entry.requires)
        )

    def run(self) -> Outcome:
        """Claim the next attempt and execute it, unless the run has a result or belongs to somebody else.

        Raises:
            StoreError: Where the run directory cannot be read or written.
        """
        remove_torn_claims(self._run_dir)
        while True:
            earlier = attempt_numbers(self._run_dir)
            outcome = self._end_previous_attempt(attempt_path(self._run_dir, earlier[-1])) if earlier else None
            if outcome is not None:
                return outcome
            if adopt_result(self._run_dir):
                return Outcome.DONE
            if self._is_cancelled():
                return Outcome.FINAL
            if signal.sigpending() & {*STOP, KILL}:
                return Outcome.AGAIN
            attempt = earlier[-1] + 1 if earlier else 0
            claim = claim_attempt(self._run_dir, attempt, self._record(attempt))
            if claim is not None:
                return self._execute(claim)

    def _end_previous_attempt(self, path: str) -> Outcome | None:
        """See to it that nobody works on the last attempt; return an outcome where somebody goes on doing so.

        Raises:
            StoreError: Where its container may be at work, and cannot be ended.
        """
        record = find_attempt(path)
        if record is not None and record.has_ended and not is_locked(path):
            return None
        alive, _ = is_alive(path, record)
        if not alive or (record is not None and not is_here(record) and self._surroundings.has_lost(record)):
            end_container(path, record)
            return None
        if record is None or (is_here(record) and not processes.is_alive(record.pid, record.pid_start)):
            if not end_orphan(path):
                return Outcome.BUSY
            end_container(path, record)
            return None
        return Outcome.BUSY

    def _is_cancelled(self) -> bool:
        generation = cancelled_generation(self._run_dir)
        return generation is not None and generation >= self._order.retried

    def _record(self, attempt: int) -> AttemptRecord:
        order, header = self._order, self._header
        return AttemptRecord(
            attempt=attempt,
            generation=order.generation,
            backend=header.backend,
            profile=header.profile,
            runtime=header.runtime,
            image=header.image,
            engine=self._enclosure.engine,
            snapshot=header.snapshot,
            resources=self._resources,
            command=self._command(),
            threads=None if order.gpus or self._resources.gpus_per_node else self._resources.cpus_per_task,
            devices=order.gpus or order.cores,
            host=processes.host(),
            boot_id=processes.boot_id(),
            pid=os.getpid(),
            pid_start=processes.start_time(os.getpid()) or 0,
            job_id=self._surroundings.job_id,
            node=self._surroundings.node,
            restarts=self._surroundings.restarts,
            config_crc=crc_of(os.path.join(self._run_dir, CONFIG)),
            started=time.time(),
        )

    @property
    def _resources(self) -> Resources:
        """What the attempt is given."""
        return self._surroundings.resources or self._entry.resources

    def _command(self) -> tuple[str, ...]:
        if self._run.command is None:
            python = self._enclosure.python or os.environ.get(PYTHON_VARIABLE) or sys.executable
            return (python, "-m", "s5", "train", self._run_dir)
        program, *words = self._run.command
        if os.sep in program:  # meant from where the user typed the command, and it starts in the attempt's folder
            program = os.path.join(os.environ.get(CWD_VARIABLE) or os.getcwd(), program)
        return (program, *words)

    def _execute(self, claim: Claim) -> Outcome:
        """Start the command, wait for its end, and record it."""
        fault_point("supervise.claimed")
        if self._is_cancelled():  # while it was being claimed; whoever cancels now sees the attempt and signals it
            return self._finish(claim, ExitInfo(reason=Reason.CANCELLED))
        if self._snapshot is not None and not os.path.isdir(self._snapshot):
            # Python passes over a folder that is not there, and would run whatever code comes next on the path.
            message = f"snapshot {self._header.snapshot} is missing; `launch retry` takes it anew"
            return self._finish(claim, ExitInfo(reason=Reason.START, message=message))
        reading, lifeline = os.pipe()
        if self._order.cores:
            os.sched_setaffinity(0, self._order.cores)
        held = (reading, claim.lock, *self._order.hold)
        try:
            call = self._surroundings.host_command(self._container_call(claim, held))
            child = Child.start(call, claim.path, held, stop=self._surroundings.stop)
        except OSError:
            self._enclosure.delete_key()
            raise
        except Exception as error:  # a fault of our own is told too: unrecorded, the run would be lost again and again
            self._enclosure.delete_key()
            reason = Reason.NODE_FAILURE if isinstance(error, TooManyNodeFailures) else Reason.START
            known = isinstance(error, NotStarted | LaunchError)
            message = str(error) if known else f"{type(error).__name__}: {error}"
            return self._finish(claim, ExitInfo(reason=reason, message=message))
        finally:
            os.close(reading)
        fault_point("supervise.started")
        code = child.wait(self._surroundings.limits(self._resources.timeout_min), self._surroundings.stop_reason)
        os.close(lifeline)
        self._enclosure.cleanup(claim.path, code, child)
        fault_point("supervise.exited")
        return self._finish(claim, self._classify(claim, self._enclosure.code(code), child.asked))

    @property
    def _snapshot(self) -> str | None:
        """The folder of the code to run; None where the generation names none."""
        runs, snapshot = os.path.dirname(os.path.dirname(self._run_dir)), self._header.snapshot
        return None if snapshot is None else os.path.join(runs, SNAPSHOTS, snapshot)

    def _container_call(self, claim: Claim, held: Sequence[int]) -> HostCommand:
        variables = {
            RUN_DIR_VARIABLE: self._run_dir,
            ATTEMPT_DIR_VARIABLE: claim.path,
            SUPERVISOR_PIPE_VARIABLE: str(held[0]),
            AFTER_VARIABLE: write_dependencies(self._run_dir, claim.path) if self._entry.requires else "",
            **self._devices(),
        }
        if self._resources.gpus_per_node:
            variables[PLATFORM_VARIABLE] = "gpu"
        return self._enclosure.wrap(
            ContainerCall(
                command=self._command(),
                variables=variables,
                folder=claim.path,
                snapshot=self._snapshot,
                resources=self._resources,
                # Where a scheduler gives them, it says more of them than the numbers that are recorded.
                gpus=() if self._surroundings.job_id is not None else self._order.gpus,
                cores=self._order.cores or self._allowed(),
                handed=len(held),
            )
        )

    def _allowed(self) -> tuple[int, ...]:
        """Return the cores that a scheduler keeps this process to; nothing where that is all of them."""
        cores = tuple(sorted(os.sched_getaffinity(0)))
        return cores if self._surroundings.job_id is not None and len(cores) < (os.cpu_count() or 0) else ()

    def _devices(self) -> dict[str, str]:
        """Return the variables that keep the command to its GPUs, or to its cores."""
        if self._surroundings.job_id is not None and self._resources.gpus_per_node:
            return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}  # which ones, the scheduler has said
        if self._order.gpus:
            # Without it CUDA numbers the fastest GPU 0, and nvidia-smi does not.
            return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(map(str, self._order.gpus))}
        # A run that asked for no GPU must not see any.
        threads = str(self._resources.cpus_per_task)
        return {"CUDA_VISIBLE_DEVICES": "", **dict.fromkeys(_THREAD_VARIABLES, threads)}

    def _classify(self, claim: Claim, code: int, asked: Reason | None) -> ExitInfo:
        """Say why the command ended."""
        finished = has_result(claim.path)
        if not finished and code == 0 and self._run.command is not None:
            write_empty_result(claim.path)
            finished = True
        if asked and self._is_cancelled():
            asked = Reason.CANCELLED
        log = "" if finished else read_tail(os.path.join(claim.path, LOG))
        found = None if finished or asked else self._enclosure.find(code, log)
        oom_killed = code < 0 and self._enclosure.ran_out_of_memory()
        ending = found or classify(code, finished=finished, asked=asked, oom_killed=oom_killed, log=log)
        if ending.reason is Reason.TIMEOUT and ending.message is None:
            return replace(ending, message=_reached(self._resources))
        return ending

    def _finish(self, claim: Claim, ending: ExitInfo) -> Outcome:
        """Publish the result, record the end, and say what is to become of the run."""
        if ending.reason is Reason.SUCCESS:
            ending = self._publish(claim, ending)
        self.reason = ending.reason
        fault_point("supervise.published")
        retry = may_retry(self._header.retry, ending.reason, claim.path, since=self._order.retried)
        write_record(
            claim.path,
            replace(
                claim.record,
                ended=time.time(),
                reason=ending.reason,
                exit_code=ending.exit_code,
                signal=ending.signal,
                message=ending.message,
                retry=retry,
            ),
        )
        fault_point("supervise.recorded")
        if ending.reason is Reason.SUCCESS:
            return Outcome.DONE
        goes_on = retry or ending.reason in (Reason.INTERRUPTED, Reason.PREEMPTED)
        return Outcome.AGAIN if goes_on else Outcome.FINAL

    def _publish(self, claim: Claim, ending: ExitInfo) -> ExitInfo:
        """Publish the attempt's result; where it is none, the attempt has failed."""
        try:
            publish_result(claim.path)
        except InvalidResult as error:
            set_aside_result(claim.path)
            return replace(ending, reason=Reason.CRASH, message=error.message)
        return ending


def _reached(resources: Resources) -> str:
    limit = resources.timeout_min
    return "it reached the time limit of its job" if limit is None else f"it reached timeout_min={limit:g}"


def main(words: Sequence[str] | None = None) -> int:
    """Execute one attempt.

    Args:
        words: The arguments; None for the process's own.

    Returns:
        The outcome.
    """
    return run_with_signals_blocked(
        lambda: Supervisor(SupervisorArgs.from_words(sys.argv[1:] if words is None else words)).run()
    )


def run_with_signals_blocked(perform: Callable[[], int]) -> int:
    """Do what a supervisor does, with its signals set aside and its mistakes told; return the outcome."""
    # Blocked from the first moment, they wait until they are asked for: none is lost and none interrupts a write.
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED_SIGNALS)
    try:
        return perform()
    except LaunchError as error:
        _say(error)
    except OSError as error:
        _say(store_error(error, f"use {error.filename or 'the run directory'}"))
    return Outcome.STORE


def _say(error: LaunchError) -> None:
    """Tell whoever started this process what is wrong: the message, and the hint on a line of its own."""
    with suppress(OSError):
        sys.stderr.write(f"{error.message}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        sys.stderr.flush()
