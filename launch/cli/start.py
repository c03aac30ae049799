"""The common part of `launch sweep`, `run` and `retry`: show a plan, start it, and wait for its end."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from launch.actions import drive
from launch.actions.container_plan import ContainerOptions, ContainerPlan
from launch.actions.estimate import estimate_plan
from launch.actions.plan import Plan, plan_sweep
from launch.actions.submit import submit
from launch.backends.choose import check_queue
from launch.cli import console, formatting
from launch.cli.live_view import LiveView
from launch.cli.location import open_location
from launch.cli.status import advise
from launch.cli.watch import exit_code
from launch.errors import ExitCode
from launch.profiles.profile import load_profile
from launch.results.format import number_text, setting_cells, short_names
from launch.results.table import published_for
from launch.specs.parameters import PROGRAM
from launch.store.records import Trigger
from launch.store.state import SUBMITTABLE, TERMINAL, Reason, State

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence, Set

    from launch.actions.estimate import Estimate
    from launch.actions.submit import Submission
    from launch.backends.base import Submitted
    from launch.specs.resources import Resources
    from launch.store.store import Store
    from launch.store.sweep_state import SweepState
    from launch.store.view import RunView
    from launch.sweepfile.sweep import Sweep

_KEY = re.compile(r"^(?:s5: )?((?!data\.name)(?:data|model|optim|train|wandb)\.\w+)(?:=| is not set)")
_SHOWN = 10  # the most failures that are listed at the end
_KEYS = "Ctrl-C: every run writes a checkpoint and ends; the same command continues"


def plan_and_start(sweep: Sweep, args: argparse.Namespace, *, only: str | None) -> int:
    """Plan a sweep; then show, store or start the plan, as the options say, and return the exit code.

    Args:
        sweep: The sweep.
        args: The options of `launch.cli.sweep.add_submission_arguments`.
        only: A glob that selects runs; None for all.
    """
    profile = load_profile(args.on)
    store = open_location(args)
    # A folder by its absolute path, an entry point by its name.
    plugins = [str(Path(place).absolute()) if os.path.isdir(place) else place for place in args.plugins]
    sweep = replace(sweep, plugins=(*sweep.plugins, *plugins), words=(*sweep.words, *_words(args, "plugins")))
    if not args.dry_run:  # before the work of planning; a dry run is allowed while the sweep runs
        check_queue(str(store.sweep(sweep.name).path), profile)
    plan = plan_sweep(sweep, store, profile, only=only, options=container_options(args), reuse=args.reuse)
    if args.dry_run:
        return _show_plan(plan, store)
    submission = submit(plan)
    for warning in submission.warnings:
        console.warn(warning)
    command = command_again(args)
    if args.plan_only:
        console.note(f"{submission.sweep}: {_counts(submission.views, submission.new)}; nothing is started")
        console.hint(f"`{command}` starts it")
        return ExitCode.OK
    options = shlex.join(_words(args, "runtime", "image", "mount"))
    return start(submission, detach=args.detach, command=command, options=f" {options}" if options else "")


def _show_plan(plan: Plan, store: Store) -> int:
    """Print a plan and every error that prevents its start, and return the exit code."""
    for warning in plan.warnings:
        console.warn(warning)
    console.print_out(plan_text(plan, estimate_plan(plan, store)))
    if not plan.obstacles:
        for request in drive.preview(plan):
            console.print_out(f"\n{request.rstrip()}")
    for obstacle in plan.obstacles:
        console.note("")
        console.error(obstacle)
    codes = {obstacle.exit_code for obstacle in plan.obstacles}
    return ExitCode.USAGE if len(codes) > 1 else next(iter(codes), ExitCode.OK)


def container_options(args: argparse.Namespace) -> ContainerOptions:
    """Return the options of the command line for images and runtimes."""
    return ContainerOptions(runtime=args.runtime, image=args.image, mounts=tuple(args.mount), say=console.note)


def command_again(args: argparse.Namespace, verb: str | None = None) -> str:
    """Return the command that the user typed, without `--detach`, `--plan-only` and `--dry-run`.

    Args:
        args: The options.
        verb: `sweep` or `run`, in place of the verb that the user typed; None for that one.
    """
    own, word = ("sweep", args.file) if "file" in args else ("run", args.experiment)
    verb = verb or own
    profile = [] if args.on == "local" else ["--on", args.on]
    chosen = [
        *profile,
        *_words(args, "runtime", "runs", "image", *(["only"] if verb == "sweep" else []), "mount", "plugins"),
    ]
    chosen += ["--reuse"] if args.reuse else []
    return shlex.join(["launch", verb, word, *args.overrides, *chosen])


def _words(args: argparse.Namespace, *options: str) -> list[str]:
    """Return the options among `options` that the user typed, each with its value."""
    words: list[str] = []
    for option in options:
        value: list[str] | str | None = getattr(args, option, None)
        for each in [value] if isinstance(value, str) else value or []:
            words += [f"--{option}", each]
    return words


def start(submission: Submission, *, detach: bool, command: str, options: str = "") -> int:
    """Run a submission in the foreground, in the background or in a scheduler's queue, and return the exit code.

    Args:
        submission: The stored plan.
        detach: Whether to return at once.
        command: The command that resumes the sweep after an interruption, for hints.
        options: The options for image and runtime as typed, for hints: `launch retry` needs them again.
    """
    name, attended = submission.sweep, drive.needs_process(submission)
    if attended and detach and not all(view.state in TERMINAL for view in submission.views):
        pid = drive.run_in_background(submission)
        counts = _counts(submission.views, submission.new, _retried_of(submission))
        console.note(f"{name}: {counts}; process {pid} runs it in the background")
        console.hint(f"`launch watch {name}` shows it, `launch cancel {name}` stops it")
        return ExitCode.OK
    if all(view.state == State.SUCCEEDED for view in submission.views):
        console.note(f"{name}: nothing to do: {formatting.plural(len(submission.views), 'run')} succeeded before")
        _show_results(submission.state)
        return ExitCode.OK
    if not attended:
        return _submit_to_queue(submission, command, options)
    with LiveView(name, hears_signals=True, keys=_KEYS) as board:
        views = drive.run_queue(submission, on_change=board.show)
    if all(view.state in TERMINAL for view in views):
        _show_results(submission.state)
    _say_how_it_ended(name, views, command, options)
    if board.stopped_by is not None and not all(view.state in TERMINAL for view in views):
        return 128 + board.stopped_by
    return exit_code(views)


def _submit_to_queue(submission: Submission, command: str, options: str) -> int:
    """Submit the runs to a scheduler, and print how many it has accepted."""
    name, given = submission.sweep, drive.submit_to_queue(submission)
    for warning in given.warnings:
        if warning not in submission.warnings:  # the check of the plan has the same words
            console.warn(warning)
    console.note(f"{name}: {_counts_after(submission, given)}: {given.words}")
    stopped = submission.left_alone
    ended = all(view.state in TERMINAL for view in submission.views)
    if given.left:
        console.hint(f"`launch watch {name} --feed` submits the rest as the queue empties, or `{command}` typed again")
    elif not ended:
        console.hint(f"`launch watch {name}` shows it, `launch cancel {name}` stops it")
    advise(name, stopped, options=options)
    return exit_code(submission.views) if ended else ExitCode.OK


def plan_text(plan: Plan, estimate: Estimate) -> str:
    """Return the text of `--dry-run`: a table of all runs, the counts of their states, and the estimated cost."""
    keys = list(dict.fromkeys(key for view in plan.views for key in view.settings))
    names = short_names(keys)
    columns = {
        **_published_columns(plan),
        "after": [", ".join(run.spec.dependencies.requires) for run in plan.runs],
        "starts from": [run.source or "" for run in plan.runs],
    }
    columns = {name: cells for name, cells in columns.items() if any(cells)}
    header = ["run", "experiment", *(names[key] for key in keys), "seed", "resources", "state", *columns]
    rows = [
        [
            view.run_id,
            view.experiment,
            *setting_cells(view.settings, keys),
            str(view.seed),
            resources_text(view.resources),
            "new" if view.run_id in plan.new else view.state,
            *(cells[number] for cells in columns.values()),
        ]
        for number, view in enumerate(plan.views)
    ]
    table = console.table(header, rows, right=["seed"], elastic="run")
    counts = f"{plan.sweep.name}: {_counts(plan.views, plan.new)}"
    return "\n".join(
        [table, "", counts, *_python_lines(plan), *_container_lines(plan.containers), estimate_text(estimate)]
    )


def _published_columns(plan: Plan) -> dict[str, list[str]]:
    """Return a column of published numbers for each metric that has some, the sweep's own first."""
    metrics = dict.fromkeys([plan.sweep.metric, *(number.metric for number in plan.sweep.published)])
    columns = dict[str, list[str]]()
    for metric in metrics:
        numbers = [number for number in plan.sweep.published if number.metric == metric]
        found = [published_for(view.experiment, view.settings, numbers) for view in plan.views]
        heading = "published" if metric == plan.sweep.metric else f"published {metric}"
        columns[heading] = ["" if one is None else number_text(one, metric) for one in found]
    return columns


def _python_lines(plan: Plan) -> list[str]:
    """Return a line if the profile names an interpreter that some of the runs do not use."""
    python, commands = plan.profile.site.python, sum(run.record.command is not None for run in plan.runs)
    if python is None or not (commands or plan.containers.image is not None):
        return []
    others = (
        "an image has its own" if plan.containers.image is not None else "a `command:` is executed as it is written"
    )
    return [f"python: {python} of the profile {plan.profile.name} is for trainings under bare; {others}"]


def _container_lines(containers: ContainerPlan) -> list[str]:
    """Return lines that describe the image (name, hashes, file) and the mounts of the runs."""
    image = containers.image
    if image is None:
        return []
    names = {"content": image.content, "id": image.id, "digest": image.digest, "file": image.file}
    known = ", ".join(f"{kind} {name}" for kind, name in names.items() if name is not None) or "of unknown origin"
    lines = [f"image: {image.name} ({containers.runtime} executes {image.reference}; {known})"]
    for mount in containers.mounts:
        place = mount.source if mount.source == mount.target else f"{mount.source} at {mount.target}"
        lines.append(f"mount: {place}{', writable' if mount.writable else ''}")
    return lines


def _counts_after(submission: Submission, given: Submitted) -> str:
    """Return the counts of a submission's runs; as they are now if another process has submitted some of them."""
    views, new = submission.views, submission.new
    open_runs = [view.run_id for view in views if view.state in SUBMITTABLE]
    if given.submitted + given.left < len(open_runs):
        state = submission.state.refreshed()
        alive = sum(view.state in (State.PENDING, State.RUNNING) for view in state.views(open_runs))
        if alive > given.submitted:
            views, new = tuple(state.views(view.run_id for view in views)), frozenset[str]()
    return _counts(views, new, _retried_of(submission))


def _retried_of(submission: Submission) -> int | None:
    """Return how many runs the sweep has in all if the submission is a retry of some of them."""
    manifest = submission.state.manifest
    return len(manifest.listed) if manifest.headers[submission.generation].why is Trigger.RETRY else None


def _counts(views: Sequence[RunView], new: Set[str], of: int | None = None) -> str:
    """Return a text with the number of runs, the number of new runs, and the states of the other runs."""
    states = formatting.count_states(view for view in views if view.run_id not in new)
    words = [f"{len(new):,} new"] if new else []
    words += [formatting.state_words(states)] if states else []
    total = formatting.plural(len(views), "run")
    if of is not None and of > len(views):
        total = f"{len(views):,} of {formatting.plural(of, 'run')}"
    return f"{total}: {', '.join(words)}" if words else total


def estimate_text(estimate: Estimate) -> str:
    """Return one line with the estimated cost of the remaining runs."""
    left = formatting.plural(estimate.runs, "run")
    if not estimate.runs:
        return "estimate: nothing is left to run"
    costs = [(estimate.core_hours, "core-hours"), (estimate.gpu_hours, "GPU-hours")]
    known = [formatting.cost(value, unit) for value, unit in costs if value]
    if not estimate.known or not known:
        return f"estimate: unknown for {left}: no run of the same configuration has finished"
    of = left if estimate.known == estimate.runs else f"{estimate.known:,} of {left}"
    return f"estimate: {' and '.join(known)} for {of}, from runs that have finished"


def resources_text(resources: Resources) -> str:
    """Return the resources of a run as text, such as `4 cores, 1 GPU`."""
    words = [formatting.plural(resources.cpus_per_task, "core")]
    if resources.gpus_per_node:
        words.append(formatting.plural(resources.gpus_per_node, "GPU"))
    if resources.mem_gb is not None:
        words.append(f"{resources.mem_gb:g} GiB")
    if resources.timeout_min is not None:
        words.append(f"{resources.timeout_min:g} min")
    if resources.nodes > 1:
        words.append(f"{resources.nodes} nodes")
    if resources.tasks_per_node > 1:
        words.append(f"{resources.tasks_per_node} tasks per node")
    return ", ".join(words)


def _say_how_it_ended(name: str, views: Sequence[RunView], command: str, options: str) -> None:
    counts = formatting.count_states(views)
    stopped = [view for view in views if view.state not in TERMINAL and not view.waits]
    console.note(f"{name}: {'stopped: ' if stopped else ''}{formatting.state_words(counts)}")
    ended_badly = [view for view in views if view.state in (State.FAILED, State.CANCELLED)]
    failed = [view for view in ended_badly if view.state == State.FAILED]
    for view in ended_badly[:_SHOWN]:
        said = console.printable(formatting.last_log_line(view))
        console.note(f"  {view.state:<9}  {console.printable(view.run_id)}  {said}".rstrip())
    if len(ended_badly) > _SHOWN:
        console.note(f"  … and {len(ended_badly) - _SHOWN} more: `launch status {name}` shows them all")
    if stopped:
        console.hint(f"`{command}` resumes")
    elif failed and all(view.reason is Reason.USER_ERROR and view.experiment != PROGRAM for view in failed):
        shown = formatting.first_failed(failed)
        what = f"`launch logs {shown}` shows why; `{command}` starts them again once their config is corrected"
        if key := _faulty_key(failed):
            is_typed = f"{key}=" in command  # then the same command would fail again
            what = f"correct {key} in `{command}`" if is_typed else f"correct {key}, and type `{command}` again"
        console.hint(f"{what}, `launch retry {name}{options}` without a correction")
    else:
        advise(name, views, options=options)


def _faulty_key(failed: Sequence[RunView]) -> str | None:
    """Return the setting that all failures name first, as in `data.root=…: no such folder`; None without one.

    `data.name=…: ` says which data are wrong, not that their name is.
    """
    found = {match[1] if (match := _KEY.search(view.message or "")) else None for view in failed}
    return found.pop() if len(found) == 1 else None


def _show_results(state: SweepState) -> None:
    from launch.cli.problems import warn_of_damage, warn_of_unreadable
    from launch.cli.results import table
    from launch.results.gather import gather

    state = state.refreshed()
    results = gather(state)
    warn_of_damage([state])
    warn_of_unreadable(results)
    if not results.is_empty:
        console.print_out(table(results.rows))
