"""A scheduler's answer for the runs of a sweep, in the words that their states are derived from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class SchedulerView:
    """A scheduler's answer for one sweep.

    Attributes:
        tasks: The runs that it is going to start, or has started, with why each waits; "" for one that runs.
        running: The jobs at work, as attempts name them.
        taken: When it was asked, seconds since the epoch; 0 if it never answered.
        problem: Why it could not be asked again; None if it answered.
        ends: Returns how jobs ended that it no longer has, in its own words, by job.
    """

    tasks: Mapping[str, str] = field(default_factory=dict[str, str])
    running: frozenset[str] = frozenset()
    taken: float = 0.0
    problem: str | None = None
    ends: Callable[[], Mapping[str, str]] = dict[str, str]

    def job_is_gone(self, job: str | None, started: float) -> bool:
        """Return whether the scheduler knows for certain that the job of an attempt is not at work.

        An answer from before the attempt began does not know of it.
        """
        return self.problem is None and started < self.taken and job not in self.running
