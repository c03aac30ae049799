"""A scheduler's answer about the runs of a sweep, in a form that does not depend on the scheduler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from launch.store.records import AttemptRecord


@dataclass(frozen=True, kw_only=True)
class FailedStart:
    """An attempt whose job ended before its supervisor had begun. It may not be recorded in the run's folder yet."""

    record: AttemptRecord  # the record of the attempt
    log: str  # the file with the output of its job, which may not exist


@dataclass(frozen=True, kw_only=True)
class SchedulerView:
    """A scheduler's answer about one sweep.

    Attributes:
        tasks: For each run in the queue, by its id, the reason why it waits; "" if the run has started, or if the
            scheduler gives no reason.
        retried: For each run in `tasks`, the newest generation with a request to retry it when its job was submitted.
        unseen: The runs in `tasks` whose job this machine cannot ask for.
        running: The field `job_id` of each attempt whose job is running.
        taken: When the scheduler was asked, seconds since the epoch; 0 if it never answered.
        problem: Why the scheduler could not be asked now; None if it answered.
        ends: A function that returns how the jobs that left the queue have ended: job to the scheduler's word. If its
            machine failed, the word is Slurm's: `NODE_FAIL` or `BOOT_FAIL`.
        find_failed_start: A function that returns the failed start of a run that is newer than its recorded attempts.
    """

    tasks: Mapping[str, str] = field(default_factory=dict[str, str])
    retried: Mapping[str, int] = field(default_factory=dict[str, int])
    unseen: frozenset[str] = frozenset()
    running: frozenset[str] = frozenset()
    taken: float = 0.0
    problem: str | None = None
    ends: Callable[[], Mapping[str, str]] = dict[str, str]
    find_failed_start: Callable[[str], FailedStart | None] = lambda _: None

    def has(self, run_id: str, retried: int, cancelled: int | None = None) -> bool:
        """Return whether a job in the queue is going to start a run, or works on it.

        A job that was submitted before a cancel never starts the run, although it may stay in the queue for a while: it
        may belong to another user, or end just now. So it does not count after a retry.

        Args:
            run_id: The run.
            retried: The newest generation with a request to retry it; 0 for none.
            cancelled: The generation that the user cancelled; None if the run was not cancelled.
        """
        if run_id not in self.tasks:
            return False
        submitted = self.retried.get(run_id, retried)
        is_void = submitted < retried and cancelled is not None and cancelled >= submitted
        return not is_void and (run_id not in self.unseen or submitted >= retried)

    def job_is_gone(self, job: str | None, started: float) -> bool:
        """Return whether the job of an attempt is certainly not running.

        False if the scheduler was asked before the attempt began: it could not know of the attempt then.
        """
        return self.problem is None and started < self.taken and job not in self.running
