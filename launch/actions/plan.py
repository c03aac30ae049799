"""Find out and check what submitting a sweep would do. Writes nothing."""

from __future__ import annotations

import fnmatch
import os
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, final

from launch.actions.changed_data import describe_changed_data, without_other_data
from launch.actions.container_plan import ContainerOptions, ContainerPlan, plan_containers_of_sweep
from launch.actions.dependencies import check_predecessors, check_sweeps_before, find_predecessors
from launch.actions.differences import changed_since_failure, describe_changes, describe_restarts
from launch.actions.dropped_settings import describe_dropped_settings
from launch.actions.generation import entry_of, with_option_words
from launch.actions.plugin_data import check_plugin_data
from launch.actions.plugins import apply_plugins
from launch.actions.program_files import check_program_files, with_program_files
from launch.actions.reuse import describe_results_elsewhere, find_results_elsewhere
from launch.actions.stored_names import with_stored_names
from launch.actions.targets import describe_other_places
from launch.backends.base import AttendedBackend
from launch.backends.choose import find_backend
from launch.backends.slurm.interpreter import describe_missing_interpreter
from launch.compose.run_id import make_run_id
from launch.errors import LaunchError, collect_errors, plural
from launch.grammar import format_value
from launch.specs.choices import RuntimeName
from launch.specs.environment import clean_environment
from launch.store.files import SNAPSHOTS, check_writable
from launch.store.run_dirs import RunDirPlan, plan_run_dirs
from launch.store.state import TERMINAL, State
from launch.supervise.wandb_key import find_key

if TYPE_CHECKING:
    from launch.compose.run import Run
    from launch.profiles.profile import Profile
    from launch.store.records import ManifestEntry
    from launch.store.store import Store
    from launch.store.sweep_state import SweepState
    from launch.store.view import RunView
    from launch.sweepfile.sweep import Sweep


@final
@dataclass(frozen=True, kw_only=True)
class Plan:
    """The plan of a submission. `print` shows it; a notebook shows a table.

    Attributes:
        sweep: The sweep.
        profile: The profile that its runs execute with.
        state: The stored state of the sweep.
        runs: The selected runs.
        predecessors: Unselected runs that a selected run directly waits for; the manifest lists them too.
        views: The views of the selected runs before anything starts.
        run_dirs: The files to be written in their directories.
        containers: The plan of their containers.
        complete: Whether the selected runs are all runs of the sweep.
        warnings: What the user should know, one line each.
        obstacles: The errors that keep the runs from starting.
    """

    sweep: Sweep
    profile: Profile
    state: SweepState
    runs: tuple[Run, ...]
    predecessors: tuple[Run, ...]
    views: tuple[RunView, ...]
    run_dirs: RunDirPlan
    containers: ContainerPlan
    complete: bool
    warnings: tuple[str, ...]
    obstacles: tuple[LaunchError, ...]

    @cached_property
    def entries(self) -> list[ManifestEntry]:
        """The manifest entries of the selected runs."""
        return [entry_of(run) for run in self.runs]

    @property
    def new(self) -> frozenset[str]:
        """The ids of the runs that have no directory yet."""
        return frozenset(self.run_dirs.missing)

    @property
    def counts(self) -> Counter[str]:
        """The number of selected runs by state; runs without a directory count as `new`."""
        return Counter("new" if view.run_id in self.new else str(view.state) for view in self.views)

    def __repr__(self) -> str:
        return f"Plan({self._summary!r})"

    @property
    def _summary(self) -> str:
        counts = ", ".join(f"{count} {word.lower()}" for word, count in self.counts.items())
        return f"{self.sweep.name} on {self.profile.name}: {plural(len(self.views), 'run')}: {counts}"

    def __str__(self) -> str:
        lines = [self._summary]
        lines += [f"  {state:<9}  {run_id}" for run_id, state, *_ in self._rows()]
        lines += [f"warning: {warning}" for warning in self.warnings]
        return "\n".join([*lines, *(f"obstacle: {obstacle.message}" for obstacle in self.obstacles)])

    def _rows(self) -> list[list[str]]:
        states = ("new" if view.run_id in self.new else str(view.state) for view in self.views)
        return [[v.run_id, state, v.experiment, str(v.seed)] for v, state in zip(self.views, states, strict=True)]

    def _repr_html_(self) -> str:  # pyright: ignore[reportUnusedFunction]  # notebooks call it
        from html import escape

        from launch.results.format import html_table

        problems = [*self.warnings, *(obstacle.message for obstacle in self.obstacles)]
        notes = "".join(f"<p>{escape(problem)}</p>" for problem in problems)
        return html_table(["run", "state", "experiment", "seed"], self._rows()) + notes


def plan_sweep(
    sweep: Sweep,
    store: Store,
    profile: Profile,
    *,
    only: str | None = None,
    options: ContainerOptions | None = None,
    reuse: bool = False,
) -> Plan:
    """Compose and check the runs of a sweep. Writes nothing.

    Args:
        sweep: The sweep.
        store: The store of its runs.
        profile: The profile that the runs execute with.
        only: A glob over run ids, experiments and `key=value` settings; None for every run.
        options: Container options that override the profile; None for none.
        reuse: Whether to use the results of equal runs of other sweeps.

    Returns:
        The plan. Errors that keep runs from starting are among its obstacles.

    Raises:
        LaunchError: If the runs cannot be composed.
    """
    from launch.compose.composer import Composer  # loading Hydra is slow, and other commands do not need it

    sweep = with_option_words(apply_plugins(sweep, store.root), only, options, reuse=reuse)
    composer = Composer()
    state = store.sweep(sweep.name).state()
    runs = with_stored_names(composer.plan_all(sweep.runs), state)
    plan = plan_runs(sweep, select(runs, only), store, profile, sweep_runs=runs, state=state, options=options)
    found = find_results_elsewhere(plan.run_dirs.missing.values(), sweep.name, store)
    elsewhere, not_comparable = without_other_data(found, plan.runs)
    return replace(
        plan,
        run_dirs=replace(plan.run_dirs, reused=elsewhere if reuse else {}),
        warnings=(
            *composer.warnings,
            *(() if state.manifest.listed else describe_other_places(store, sweep.name)),
            *plan.warnings,
            *(not_comparable if reuse else ()),
            *describe_results_elsewhere(elsewhere, reuse=reuse),
        ),
    )


def select(runs: Sequence[Run], only: str | None) -> list[Run]:
    """Return the runs whose id, experiment or setting (`key=value`) matches the glob `only`; all if it is None.

    Raises:
        LaunchError: If no run matches.
    """
    selected = [run for run in runs if only is None or any(fnmatch.fnmatchcase(name, only) for name in _names(run))]
    if not selected:
        raise LaunchError(
            f"--only {only!r} "
            + (f"matches none of the {len(runs)} runs" if len(runs) > 1 else "does not match the only run"),
            hint=f"the first run would match {', '.join(_names(runs[0]))}" if runs else None,
        )
    return selected


def _names(run: Run) -> list[str]:
    """Return the names of a run that a glob can match; a setting has several, such as `optim.lr=1` and `lr=1`."""
    record = run.record
    today = make_run_id(record.experiment, record.settings, record.seed, record.science_hash)
    names = [*dict.fromkeys((record.run_id, today)), record.experiment]
    for key, value in {**run.settings, "seed": record.seed}.items():
        parts, text = key.split("."), value if isinstance(value, str) else format_value(value)
        names += [f"{'.'.join(parts[start:])}={text}" for start in range(len(parts))]
    return names


def plan_runs(
    sweep: Sweep,
    runs: Sequence[Run],
    store: Store,
    profile: Profile,
    *,
    sweep_runs: Sequence[Run] = (),
    state: SweepState | None = None,
    options: ContainerOptions | None = None,
) -> Plan:
    """Check composed runs; see `plan_sweep`.

    Args:
        sweep: The sweep.
        runs: The selected runs.
        store: The store of the runs.
        profile: The profile that the runs execute with.
        sweep_runs: All runs of the sweep, if `runs` are only some of them.
        state: The stored state of the sweep; None to read it.
        options: Container options that override the profile; None for none.
    """
    state = state or store.sweep(sweep.name).state()
    runs = with_program_files(runs, sweep.file)
    predecessors = find_predecessors(runs, sweep_runs)
    entries = [entry_of(run) for run in runs]
    views = state.with_entries(entries).views(entry.run_id for entry in entries)
    left = [entry for entry, view in zip(entries, views, strict=True) if view.state is not State.SUCCEEDED]
    options, notes = options or ContainerOptions(), list[str]()
    obstacles = _find_obstacles(sweep, runs, predecessors, left, state, store, profile, notes)
    configs = [{} if run.record.parameters is not None else run.config for run in runs]
    containers = plan_containers_of_sweep(state, options, profile, configs, left)
    obstacles += _find_faulty_files(sweep, runs, views, state.folder, profile, containers.runtime, notes)
    run_dirs = plan_run_dirs(state.folder, state.manifest, runs)
    restarts = {view.run_id for view in changed_since_failure(views, runs)}
    return Plan(
        sweep=sweep,
        profile=profile,
        state=state,
        runs=tuple(runs),
        predecessors=tuple(predecessors),
        views=tuple(replace(view, state=State.PLANNED) if view.run_id in restarts else view for view in views),
        run_dirs=run_dirs,
        containers=containers,
        complete={run.record.run_id for run in sweep_runs} <= {run.record.run_id for run in runs},
        warnings=(
            *describe_changes(run_dirs, runs, state.folder, from_file=sweep.file is not None, plugins=sweep.plugins),
            *state.manifest.problems,
            *containers.warnings,
            *describe_dropped_settings(profile, containers.runtime),
            *_describe_doubts(profile, containers.runtime, runs),
            *describe_changed_data(runs, views),
            *describe_restarts([view.run_id for view in views if view.run_id in restarts]),
            *notes,
        ),
        obstacles=(*obstacles, *containers.obstacles),
    )


def _describe_doubts(profile: Profile, runtime: str, runs: Sequence[Run]) -> list[str]:
    """Return a warning for each thing that this machine lacks (an interpreter, a key of W&B) and each long warm-up."""
    missing = [*_describe_interpreter(profile, runtime, runs), *_describe_missing_key(runs)]
    return [*missing, *_describe_long_warmups(runs)]


def _describe_interpreter(profile: Profile, runtime: str, runs: Sequence[Run]) -> list[str]:
    """Return a warning if trainings use an interpreter of the profile that this machine does not have."""
    if runtime != RuntimeName.BARE or all(run.record.command is not None for run in runs):
        return []
    missing = describe_missing_interpreter(profile.site)
    where = f"profile {profile.name}" + (f" ({profile.file})" if profile.file else "")
    return [f"{where}: {missing}; if a node does not have it either, no training starts there"] if missing else []


def _describe_missing_key(runs: Sequence[Run]) -> list[str]:
    """Return a warning if runs shall be uploaded to W&B, and this user has no key."""
    trained = [run.config for run in runs if run.record.command is None]
    online = sum(config["wandb"]["mode"] == "online" for config in trained)
    host, key = find_key(os.environ) if online else ("", None)
    if not online or key:
        return []
    return [
        f"wandb.mode=online in {online} run{'s' * (online > 1)}, and there is no key for {host} here: nothing will be "
        "uploaded; `wandb login` stores a key, wandb.mode=offline needs none"
    ]


def _describe_long_warmups(runs: Sequence[Run]) -> list[str]:
    """Return a warning for each pair of a warm-up and a shorter training, with the number of runs that have it."""
    from s5.config.training import describe_long_warmup

    trained = [run.config for run in runs if run.record.command is None]
    pairs = Counter((config["optim"]["warmup_epochs"], config["train"]["epochs"]) for config in trained)
    found = ((describe_long_warmup(*pair), count) for pair, count in pairs.items())
    return [f"{doubt} (in {count} run{'s' * (count > 1)})" for doubt, count in found if doubt]


def _find_obstacles(
    sweep: Sweep,
    runs: Sequence[Run],
    predecessors: Sequence[Run],
    left: Sequence[ManifestEntry],
    state: SweepState,
    store: Store,
    profile: Profile,
    notes: list[str],
) -> list[LaunchError]:
    """Return the errors that keep runs from starting, except those of the containers; append warnings to `notes`."""
    from launch.compose.preflight import find_obstacles

    backend = find_backend(profile)
    obstacles: list[LaunchError] = []
    with collect_errors(obstacles):
        check_sweeps_before(sweep.after, store, attended=isinstance(backend, AttendedBackend))
    with collect_errors(obstacles):
        check_predecessors(runs, predecessors, state)
    obstacles += find_obstacles(runs, _environment(profile))
    if left:  # runs that are done need no resources
        setting = f"change the `runs_dir` of {profile.file}, or add `--runs DIR`" if profile.runs_dir else None
        with collect_errors(obstacles):
            check_writable(state.folder, str(store.root / SNAPSHOTS), hint=setting)
        with collect_errors(obstacles):
            notes += backend.check(left)
    return obstacles


def _find_faulty_files(
    sweep: Sweep,
    runs: Sequence[Run],
    views: Sequence[RunView],
    at: str,
    profile: Profile,
    runtime: str,
    notes: list[str],
) -> list[LaunchError]:
    """Return the errors in the files of commands and the data of plug-ins; append to `notes` what may be wrong."""
    obstacles, pairs = list[LaunchError](), list(zip(runs, views, strict=True))
    with collect_errors(obstacles):
        startable = {view.run_id: run.record for run, view in pairs if view.state not in TERMINAL}
        notes += check_program_files(at, startable, sweep.file)
    python = shutil.which(profile.site.python or sys.executable) if runtime == RuntimeName.BARE else None
    left = [run for run, view in pairs if view.state is not State.SUCCEEDED]
    errors, unread = check_plugin_data(sweep.plugins, left, python, _environment(profile))
    notes += unread
    return [*obstacles, *errors]


def _environment(profile: Profile) -> dict[str, str]:
    """Return the variables that a run gets from this shell and its profile."""
    return clean_environment({**os.environ, **profile.variables})
