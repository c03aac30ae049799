"""Execute one attempt of a run: `python -m launch.supervise RUN_DIR --generation N [--cores 0,1] [--gpus 0] ...`.

The supervisor claims the attempt, starts the command, forwards signals once, enforces the time limit, records why the
command ended and publishes its result. It runs on the machine of the attempt, and starts in milliseconds.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import final

from launch.errors import LaunchError
from launch.store import processes
from launch.store.attempts import LOG, attempt_numbers, attempt_path, find_attempt, write_record
from launch.store.cancel_mark import is_cancelled
from launch.store.claims import Claim, claim_attempt, remove_torn_claims
from launch.store.files import crc_of, fault_point, store_error
from launch.store.liveness import is_alive, is_here, is_locked
from launch.store.manifest import find_entry, read_header
from launch.store.record_json import read_record
from launch.store.records import AttemptRecord, RunRecord
from launch.store.run_result import (
    InvalidResult,
    adopt_result,
    has_result,
    publish_result,
    set_aside_result,
    write_empty_result,
)
from launch.store.state import RESUMABLE, Reason
from launch.supervise.arguments import PYTHON_VARIABLE, SupervisorArgs
from launch.supervise.attempt_command import AttemptCommand
from launch.supervise.child import FORWARDED_SIGNALS, KILL, STOP, Child, NotStarted, end_orphan, was_stopped
from launch.supervise.classify import ExitInfo, classify, read_tail
from launch.supervise.container_session import ContainerSession, end_container
from launch.supervise.host import Host, LocalHost
from launch.supervise.outcome import Outcome
from launch.supervise.retry_policy import TooManyNodeFailures, may_retry
from s5.run_dir.result import CONFIG, RUN


@final
class Supervisor:
    """Executes one attempt of one run, from its claim to its recorded end.

    Args:
        args: The arguments.
        host: The machine and its scheduler; None for this machine without a scheduler.

    Attributes:
        reason: Why the attempt ended; None before its end.

    Raises:
        StoreError: If the manifest or the run's record cannot be read.
    """

    def __init__(self, args: SupervisorArgs, host: Host | None = None) -> None:
        self.reason: Reason | None = None
        self._args = args
        self._host = host or LocalHost()
        self._run_dir = args.run_dir
        sweep, run_id = os.path.split(args.run_dir)
        self._header = read_header(sweep, args.generation)
        entry = find_entry(sweep, args.generation, run_id)
        self._run = read_record(RunRecord, os.path.join(args.run_dir, RUN))
        self._command = AttemptCommand(args, self._header, entry, self._run, self._host)
        self._container = ContainerSession(
            self._header, args.run_dir, self._command.snapshot, sees_others=bool(entry.requires)
        )

    def run(self) -> Outcome:
        """Claim the next attempt and execute it, unless the run has a result or another process works on it.

        Raises:
            StoreError: If the run directory cannot be read or written.
        """
        remove_torn_claims(self._run_dir)
        while True:
            earlier = attempt_numbers(self._run_dir)
            if earlier and not self._end_previous_attempt(attempt_path(self._run_dir, earlier[-1])):
                return Outcome.BUSY
            if adopt_result(self._run_dir):
                return Outcome.DONE
            if self._is_cancelled():
                return Outcome.FAILED
            if signal.sigpending() & {*STOP, KILL}:
                return Outcome.RETRY
            attempt = earlier[-1] + 1 if earlier else 0
            claim = claim_attempt(self._run_dir, attempt, self._record(attempt))
            if claim is not None:
                return self._execute(claim)

    def _end_previous_attempt(self, path: str) -> bool:
        """Make sure that the previous attempt has stopped; return whether it has.

        Raises:
            StoreError: If its container may still be running and cannot be ended.
        """
        record = find_attempt(path)
        if record is not None and record.has_ended and not is_locked(path):
            return True
        alive, _ = is_alive(path, record)
        here = record is None or is_here(record)
        if not alive or (record is not None and not here and self._host.job_is_gone(record)):
            end_container(path, record)
            return True
        # Its supervisor runs, here or perhaps on a machine that cannot be seen from here.
        if not here or (record is not None and processes.is_alive(record.pid, record.pid_start)):
            return False
        if not end_orphan(path):
            return False
        end_container(path, record)
        return True

    def _is_cancelled(self) -> bool:
        return is_cancelled(self._run_dir, retried=self._args.retried)

    def _record(self, attempt: int) -> AttemptRecord:
        header, host, command = self._header, self._host, self._command
        return AttemptRecord(
            attempt=attempt,
            generation=self._args.generation,
            backend=header.backend,
            profile=header.profile,
            runtime=header.runtime,
            image=header.image,
            engine=self._container.engine,
            snapshot=header.snapshot,
            resources=command.resources,
            command=command.words(self._container.python),
            threads=command.threads,
            devices=command.gpus or command.cores,
            host=processes.host(),
            boot_id=processes.boot_id(),
            pid=os.getpid(),
            pid_start=processes.start_time(os.getpid()) or 0,
            job_id=host.job_id,
            node=host.node,
            restarts=host.restarts,
            config_crc=crc_of(os.path.join(self._run_dir, CONFIG)),
            started=time.time(),
        )

    def _execute(self, claim: Claim) -> Outcome:
        """Start the command, wait for its end, and record it."""
        fault_point("supervise.claimed")
        if self._is_cancelled():  # checked again: a `launch cancel` after this sees the attempt and signals it
            return self._finish(claim, ExitInfo(reason=Reason.CANCELLED))
        snapshot = self._command.snapshot
        if snapshot is not None and not os.path.isdir(snapshot):
            # Python skips a missing folder on its path, so it would run other code.
            again = f"`launch retry {self._header.sweep}` copies the code again"
            message = f"snapshot {self._header.snapshot} is missing; {again}"
            return self._finish(claim, ExitInfo(reason=Reason.START, message=message))
        reading, pipe = os.pipe()
        if self._command.cores:
            os.sched_setaffinity(0, self._command.cores)
        try:
            child = self._start(claim, (reading, claim.lock, *self._args.hold))
        except OSError:
            self._container.delete_key()
            raise
        except Exception as error:  # a bug of the launcher is recorded too: else the run would be started for ever
            self._container.delete_key()
            reason = Reason.NODE_FAILURE if isinstance(error, TooManyNodeFailures) else Reason.START
            if isinstance(error, NotStarted) and error.by_machine:
                reason = Reason.MACHINE
            known = isinstance(error, NotStarted | LaunchError)
            message = str(error) if known else f"{type(error).__name__}: {error}"
            if claim.record.command[:1] == (os.environ.get(PYTHON_VARIABLE),) and isinstance(error, NotStarted):
                message += f"; `python:` of the profile {self._header.profile} names it"
            return self._finish(claim, ExitInfo(reason=reason, message=message))
        finally:
            os.close(reading)
        fault_point("supervise.started")
        code = child.wait(self._host.limits(self._command.resources.timeout_min), self._why_stopped, self._host.grace_s)
        os.close(pipe)
        self._container.cleanup(claim.path, code, child)
        fault_point("supervise.exited")
        return self._finish(claim, self._classify(claim, self._container.code(code), child))

    def _start(self, claim: Claim, handed: Sequence[int]) -> Child:
        command = self._container.wrap(self._command.call(claim.path, self._container.python, handed))
        return Child.start(self._host.host_command(command), claim.path, handed, stop=self._host.stop_signal(command))

    def _why_stopped(self) -> Reason:
        """Return the reason for a request to stop: a cancel, whatever the host says."""
        reason = self._host.stop_reason()
        return Reason.CANCELLED if self._is_cancelled() else reason

    def _classify(self, claim: Claim, code: int, child: Child) -> ExitInfo:
        """Return why the command ended."""
        asked = child.asked
        finished = has_result(claim.path)
        if not finished and code == 0 and self._run.command is not None:
            write_empty_result(claim.path)
            finished = True
        oom_killed = code < 0 and self._container.ran_out_of_memory()
        if not finished and asked is None and not oom_killed and was_stopped(code):
            asked = self._host.ending_reason()
        if asked and self._is_cancelled():
            asked = Reason.CANCELLED
        log = "" if finished else read_tail(os.path.join(claim.path, LOG))
        found = None if finished or asked else self._container.find(code, log)
        trains = self._run.command is None
        ending = found or classify(code, finished=finished, asked=asked, oom_killed=oom_killed, log=log, trains=trains)
        if child.overdue_s is not None and not finished and ending.message is None:
            return replace(
                ending, message=f"it did not end within {child.overdue_s:g} s of the request, and was killed"
            )
        if ending.reason is Reason.TIMEOUT and ending.message is None:
            limit = self._command.resources.timeout_min
            reached = "the time limit of its job" if limit is None else f"timeout_min={limit:g}"
            return replace(ending, message=f"it reached {reached}")
        return ending

    def _finish(self, claim: Claim, ending: ExitInfo) -> Outcome:
        """Publish the result, record the end of the attempt, and return the outcome."""
        if ending.reason is Reason.SUCCESS:
            try:
                publish_result(claim.path)
            except InvalidResult as error:
                set_aside_result(claim.path)
                ending = replace(ending, reason=Reason.CRASH, message=error.message)
        self.reason = ending.reason
        fault_point("supervise.published")
        retry = may_retry(self._header.retry, ending.reason, claim.path, since=self._args.retried)
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
        return Outcome.RETRY if retry or ending.reason in RESUMABLE else Outcome.FAILED


def main(words: Sequence[str] | None = None) -> int:
    """Execute one attempt and return the outcome. `words` are the arguments; None for those of this process."""
    return run_with_signals_blocked(
        lambda: Supervisor(SupervisorArgs.from_words(sys.argv[1:] if words is None else words)).run()
    )


def run_with_signals_blocked(perform: Callable[[], int]) -> int:
    """Call `perform` with signals blocked and return its outcome; print errors of the user instead of raising them."""
    # Blocked signals wait until `Child.wait` reads them: no signal is lost, and no signal interrupts a write.
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED_SIGNALS)
    try:
        return perform()
    except LaunchError as error:
        _print(error)
    except OSError as error:
        _print(store_error(error, f"use {error.filename or 'the run directory'}"))
    return Outcome.STORE_ERROR


def _print(error: LaunchError) -> None:
    """Print the message, and the hint on its own line, for the process that started this one."""
    with suppress(OSError):
        sys.stderr.write(f"{error.message}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        sys.stderr.flush()
