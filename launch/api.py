"""The Python interface of the launcher for scripts and notebooks. It can do what the command line can.

The functions call the same actions as the commands, so they give the same guarantees: if a script is killed and started
again, every run is executed exactly once. Nothing is printed; callbacks receive the progress. For a mistake of the user
a `LaunchError` with a message and a hint is raised.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from launch.own_s5 import check_own_s5

check_own_s5()  # before any module imports s5

# ruff: noqa: E402
from launch.actions import drive, logs
from launch.actions import retry as retry_action
from launch.actions.container_plan import ContainerOptions
from launch.actions.plan import Plan, plan_sweep
from launch.actions.submit import Submission
from launch.actions.submit import submit as submit_plan
from launch.actions.targets import find_run, open_store, sweep_name
from launch.actions.wait import ignore
from launch.errors import LaunchError
from launch.handle import SweepHandle, cancel_runs
from launch.profiles.profile import Profile, load_profile, profile_names
from launch.results.gather import Results
from launch.results.table import ResultRow as ResultRow
from launch.store.state import TERMINAL
from launch.store.state import State as State
from launch.store.view import RunView
from launch.sweepfile import sweep as sweep_file
from launch.sweepfile.sweep import Sweep
from launch.sweepfile.sweep import single_run as single_run

Folder = str | os.PathLike[str]


def load_sweep(file: Folder, overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep file and return the sweep with its runs.

    Args:
        file: The YAML file.
        overrides: Hydra overrides, such as `train.epochs=5`; they override the file.

    Raises:
        LaunchError: If the file or an override is not valid.
    """
    return sweep_file.load_sweep(Path(file), overrides)


def plan(
    sweep: Sweep,
    *,
    on: str | Profile = "local",
    only: str | None = None,
    runtime: str | None = None,
    image: str | None = None,
    mounts: Sequence[str] = (),
    reuse: bool = False,
    runs: Folder | None = None,
) -> Plan:
    """Find out what submitting a sweep would do. Writes nothing.

    Args:
        sweep: The sweep; see `load_sweep` and `single_run`.
        on: The profile to execute with, or its name.
        only: A glob over run ids, experiments and `key=value` settings; None for every run.
        runtime: The runtime, such as `docker`; None for the profile's.
        image: The image; None for the profile's.
        mounts: Folders of the host for the runs besides the profile's mounts: `SRC[:DST][:rw]` each.
        reuse: Whether to use the results of runs of other sweeps with the same configuration and seed.
        runs: The folder of all runs; None for the profile's, else `$LAUNCH_RUNS`, else `./runs`.

    Returns:
        The runs with their ids and states. `plan.obstacles` has the errors that keep the runs from starting.

    Raises:
        LaunchError: If a configuration is not valid.
    """
    profile = load_profile(on) if isinstance(on, str) else on
    options = ContainerOptions(runtime=runtime, image=image, mounts=tuple(mounts))
    return plan_sweep(sweep, open_store(runs or profile.runs_dir), profile, only=only, options=options, reuse=reuse)


def submit(
    sweep: Plan | Sweep, *, on: str | Profile | None = None, runs: Folder | None = None, source: Folder | None = None
) -> SweepHandle:
    """Submit the runs of a sweep that are left, and return at once. Submitting again resumes: nothing runs twice.

    On this machine a background process starts the runs; it outlives this process. Failed and cancelled runs are not
    started again: see `retry`.

    Args:
        sweep: A plan, or a sweep to plan with the defaults of `plan`.
        on: The profile to execute a sweep with, or its name; None for `local`, or the plan's profile.
        runs: The folder of all runs; None for the folder of the profile or of the plan.
        source: The folder with the code for the runs; None for the folder of this package.

    Raises:
        LaunchError: If the plan has obstacles; then nothing was submitted.
    """
    if isinstance(sweep, Sweep):
        sweep = plan(sweep, on=on or "local", runs=runs)
    elif on is not None or runs is not None:
        raise LaunchError("a plan has its profile and its folder already", hint="pass `on` and `runs` to `plan`")
    return _start(submit_plan(sweep, source=None if source is None else Path(source)))


def retry(
    sweep: Folder,
    *,
    failed_only: bool = False,
    earlier: bool = False,
    on: str | Profile | None = None,
    runtime: str | None = None,
    image: str | None = None,
    mounts: Sequence[str] = (),
    runs: Folder | None = None,
    source: Folder | None = None,
) -> SweepHandle:
    """Start again the runs of a sweep that failed, were cancelled or were lost, each from its last checkpoint.

    Args:
        sweep: Its name or its file.
        failed_only: Whether to retry failed runs only, not cancelled and lost runs.
        earlier: Whether to retry only runs that the newest submission does not list, also interrupted ones.
        on: The profile to execute with, or its name; None for the profile of the last submission.
        runtime: The runtime, such as `docker`; None for that of the last submission.
        image: The image; None for that of the last submission.
        mounts: Folders of the host for the runs besides the profile's mounts: `SRC[:DST][:rw]` each.
        runs: The folder of all runs; None for `$LAUNCH_RUNS`, else `./runs`.
        source: The folder with the code for the runs; None for the folder of this package.

    Raises:
        LaunchError: If the runs cannot start, or another process runs the sweep.
    """
    store = open_store(runs)
    with _python_hints():
        name = sweep_name(store, os.fspath(sweep))
    submission = retry_action.retry(
        store,
        name,
        load_profile(on) if isinstance(on, str) else on,
        failed_only=failed_only,
        earlier=earlier,
        options=ContainerOptions(runtime=runtime, image=image, mounts=tuple(mounts)),
        source=None if source is None else Path(source),
    )
    return _start(submission)


def _start(submission: Submission) -> SweepHandle:
    """Start a submission through its scheduler, or in a background process, unless nothing is left to run."""
    if not all(view.state in TERMINAL for view in submission.views):
        if drive.needs_process(submission):
            drive.run_in_background(submission)
        else:
            drive.submit_to_queue(submission)
    folder = Path(submission.state.folder)
    return SweepHandle(open_store(folder.parent), folder.name, submission.warnings)


def open_sweep(sweep: Folder, *, runs: Folder | None = None) -> SweepHandle:
    """Return a sweep that was submitted before.

    Args:
        sweep: Its name or its file.
        runs: The folder of all runs; None for `$LAUNCH_RUNS`, else `./runs`.

    Raises:
        LaunchError: If the sweep does not exist; the message suggests the nearest name.
    """
    store = open_store(runs)
    with _python_hints():
        return SweepHandle(store, sweep_name(store, os.fspath(sweep)))


@contextmanager
def _python_hints() -> Generator[None]:
    """Let the hint of an error name arguments of Python instead of options of the command line."""
    try:
        yield
    except LaunchError as error:
        error.hint = error.python_hint
        raise


def list_sweeps(*, runs: Folder | None = None) -> list[str]:
    """Return the names of all stored sweeps, sorted."""
    return open_store(runs).sweeps()


def list_profiles() -> list[str]:
    """Return the names of the profiles that `on` accepts, also `local`."""
    return profile_names()


def status(sweep: Folder, *, runs: Folder | None = None) -> list[RunView]:
    """Return the view of each run of a sweep; see `SweepHandle.status`."""
    return open_sweep(sweep, runs=runs).status()


def wait(sweep: Folder, *, timeout_s: float | None = None, runs: Folder | None = None) -> list[RunView]:
    """Wait until no run of a sweep is running or pending; see `SweepHandle.wait`."""
    return open_sweep(sweep, runs=runs).wait(timeout_s=timeout_s)


def load_results(
    sweep: Folder, metric: str | None = None, *, superseded: bool = False, runs: Folder | None = None
) -> Results:
    """Return the results of a sweep: one row for each configuration, over the seeds.

    Args:
        sweep: Its name or its file.
        metric: The metric to show, such as `val/accuracy`; None for the metric that the sweep names.
        superseded: Whether to show runs of earlier submissions that the file has no longer; their rows say so.
        runs: The folder of all runs; None for `$LAUNCH_RUNS`, else `./runs`.

    Returns:
        The rows; `to_records()`, `to_pandas()` and `to_polars()` convert them.

    Raises:
        LaunchError: If there is no such sweep, or no run has the metric.
    """
    return open_sweep(sweep, runs=runs).results(metric, superseded=superseded)


def cancel(*targets: Folder, runs: Folder | None = None) -> list[RunView]:
    """Cancel sweeps or runs: waiting runs are not started, running runs write a checkpoint and end.

    Args:
        targets: Sweeps and runs: names, files, run ids or beginnings of run ids.
        runs: The folder of all runs; None for `$LAUNCH_RUNS`, else `./runs`.

    Returns:
        The runs that were cancelled; a run that is still RUNNING is writing its checkpoint.

    Raises:
        LaunchError: If a target names neither a sweep nor a run, or a container could not be ended.
    """
    with _python_hints():
        return cancel_runs(open_store(runs), [os.fspath(target) for target in targets])


def read_log(
    run: str, *, attempt: int | None = None, tail: int | None = None, follow: bool = False, runs: Folder | None = None
) -> Iterator[str]:
    """Return the lines that a run printed.

    Args:
        run: A run id, the beginning of one, or `SWEEP/RUN`.
        attempt: The attempt, from 0; None for the last.
        tail: How many of the last lines; None for all.
        follow: Whether to continue until the run ends.
        runs: The folder of all runs; None for `$LAUNCH_RUNS`, else `./runs`.

    Raises:
        LaunchError: If there is no such run or attempt.
    """
    store = open_store(runs)
    with _python_hints():
        name, run_id = find_run(store, run)
    sweep = store.sweep(name)
    if follow:
        return _lines(logs.follow_log(sweep, run_id, attempt=attempt, tail=tail, say=ignore))
    return _lines(logs.read_log(sweep, run_id, attempt=attempt, tail=tail)[1])


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")
