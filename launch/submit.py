"""The use cases: submit a sweep, drive it, leave it to the background, refresh, cancel, retry. Prints nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from launch.plan import PlanReport
from launch.profiles import Profile
from launch.records import RunView, State
from launch.store import Store

if TYPE_CHECKING:
    from launch.compose import Run
    from launch.sweep import Sweep


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What the runs that are left will cost, judged by earlier attempts.

    Attributes:
        runs: Runs that are left.
        known: Of these, those whose experiment has finished before.
        core_hours: CPU core hours of the known ones; None where none is known.
        gpu_hours: GPU hours of the known ones; None where none is known.
    """

    runs: int
    known: int
    core_hours: float | None
    gpu_hours: float | None


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A sweep that is ready to be driven.

    Attributes:
        sweep: Name of the sweep.
        generation: The manifest generation to feed; None for a dry run.
        profile: Where its runs execute.
        runs: The selected runs; empty for a retry.
        report: What planning did.
        views: The selected runs as they stood before anything was started.
        warnings: What the user should know, one line each.
    """

    sweep: str
    generation: int | None
    profile: Profile
    runs: tuple[Run, ...]
    report: PlanReport
    views: tuple[RunView, ...]
    warnings: tuple[str, ...]

    @property
    def counts(self) -> Counter[State]:
        """How many of the selected runs are in each state."""
        return Counter(view.state for view in self.views)

    @property
    def left_alone(self) -> tuple[RunView, ...]:
        """Failed and cancelled runs, which only `launch retry` starts again."""
        return tuple(view for view in self.views if view.state in (State.FAILED, State.CANCELLED))


def submit(
    sweep: Sweep,
    store: Store,
    profile: Profile,
    *,
    only: str | None = None,
    runtime: str | None = None,
    source: Path | None = None,
    dry_run: bool = False,
) -> Submission:
    """Compose, check and store the runs of a sweep, and freeze them in its manifest. Starts nothing.

    Args:
        sweep: The sweep.
        store: Where its runs lie.
        profile: Where they execute.
        only: A glob over run ids, experiments and `key=value` settings; None for every run.
        runtime: What wraps the command, instead of the profile's.
        source: The folder whose code the runs execute; None for the one this launcher was imported from.
        dry_run: Whether to write nothing.

    Returns:
        The submission.

    Raises:
        LaunchError: For a mistake that can be found before anything starts, or where another launcher has the sweep.
    """
    raise NotImplementedError


def drive(
    submission: Submission, store: Store, *, on_change: Callable[[list[RunView]], None] | None = None
) -> list[RunView]:
    """Start the runs of a submission and see them through, in the foreground.

    The first SIGINT, SIGTERM or SIGHUP stops the runs in good order; a second one kills them.

    Args:
        submission: What to run.
        store: Where its runs lie.
        on_change: Called with the views of the submission's runs whenever one changes, and about once a second.

    Returns:
        The views at the end.

    Raises:
        LaunchError: Where another launcher has the sweep.
    """
    raise NotImplementedError


def detach(submission: Submission, store: Store) -> int:
    """Start the runs of a submission in a process of their own, which outlives the terminal.

    Returns:
        Its pid. It writes to `runs/<sweep>/queue.log`.
    """
    raise NotImplementedError


def refresh(store: Store, sweep: str) -> list[RunView]:
    """Return what is known of a sweep's runs. Changes nothing."""
    return store.sweep(sweep).views()


def cancel(store: Store, targets: Sequence[str]) -> list[RunView]:
    """Cancel sweeps or runs: what is queued never starts, what runs is asked to stop.

    Args:
        store: Where the runs lie.
        targets: Names of sweeps, run ids, or `sweep/run_id`.

    Returns:
        The views of the runs that were cancelled.

    Raises:
        LaunchError: For a target that is neither.
    """
    raise NotImplementedError


def retry(
    store: Store, sweep: str, profile: Profile | None = None, *, failed_only: bool, source: Path | None = None
) -> Submission:
    """List failed runs (and cancelled and lost ones, unless `failed_only`) in a new generation, which starts them anew.

    Args:
        store: Where the runs lie.
        sweep: Name of the sweep.
        profile: Where they execute; None for the one they were submitted with.
        failed_only: Whether to leave cancelled and lost runs alone.
        source: The folder whose code the runs execute; None for the one this launcher was imported from.

    Returns:
        The submission, to be driven.
    """
    raise NotImplementedError


def estimate(submission: Submission, store: Store) -> Estimate:
    """Judge by earlier attempts what the runs that are left will cost."""
    raise NotImplementedError
