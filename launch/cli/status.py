"""`launch status`: shows the state of every sweep and run, and changes no run."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING

from launch.cli import console, formatting
from launch.errors import ExitCode
from launch.store.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from launch.cli.parser import Parser
    from launch.store.manifest import Manifest
    from launch.store.store import Store
    from launch.store.sweep_state import SweepState
    from launch.store.view import RunView

EXAMPLES = """
launch status                                 every sweep, one line each
launch status mnist5k                         every run of one sweep
launch status sweeps/mnist5k.yaml --state failed,lost
launch status mnist5k --sort age              the newest change last
launch status --json | jq '.[] | select(.state == "FAILED") | .message'
"""

_STATES = tuple(state.lower() for state in formatting.STATE_ORDER)
_SORT = ("age", "name", "state")


def _states(text: str) -> list[str]:
    """Parse states that are separated by commas."""
    states = [word.strip().lower() for word in text.split(",")]
    for state in states:
        if state not in _STATES:
            choices = ", ".join(map(repr, _STATES))
            raise argparse.ArgumentTypeError(f"invalid choice: {state!r} (choose from {choices})")
    return states


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("sweep", metavar="SWEEP", nargs="?", help="a sweep's name or its file; default: all, in short")
    parser.add_argument("--json", action="store_true", help="a list of objects, one per run, instead of a table")
    parser.add_argument(
        "--state", metavar="STATE", type=_states, action="extend", help="only runs in this state, or in several: a,b"
    )
    parser.add_argument(
        "--sort",
        metavar="KEY",
        choices=_SORT,
        help=f"{', '.join(_SORT)}; default: sweeps by age, the newest change last; runs as in the sweep file",
    )
    width = max(map(len, _STATES))
    lines = "\n".join(f"  {state.lower():<{width}}  {words}" for state, words in formatting.STATE_HELP.items())
    parser.epilog = f"states:\n{lines}\n\n{parser.epilog}"


def execute(args: argparse.Namespace) -> int:
    """Print a table of the sweeps or the runs, or a JSON list of the runs."""
    from launch.actions.targets import sweep_name
    from launch.cli.location import open_location
    from launch.cli.problems import warn_of_damage, warn_of_silent_scheduler
    from launch.store.damage import REPAIR_HINT, sweeps_without_manifest

    store = open_location(args)
    names = store.sweeps() if args.sweep is None else [sweep_name(store, args.sweep)]
    states = [store.sweep(name).state() for name in names]
    views = {state.name: state.views() for state in states}
    now, changes = time.time(), {state.name: _last_change(state, views[state.name]) for state in states}
    sweeps = {name: _sorted(views[name], args.sort) for name in _sorted_names(views, changes, args.sort)}
    damaged = warn_of_damage(states)
    warn_of_silent_scheduler(states)
    if args.sweep is None and (lost := sweeps_without_manifest(store)):
        damaged = True
        console.warn(f"no manifest under {store.root} for {', '.join(map(console.printable, lost))}")
        console.hint(REPAIR_HINT)
    if args.state:
        sweeps = {name: [v for v in views if v.state.lower() in args.state] for name, views in sweeps.items()}
        sweeps = {name: views for name, views in sweeps.items() if views or args.sweep is not None}
    if args.json:
        console.print_out(as_json([view for views in sweeps.values() for view in views]))
    elif args.sweep is None and sweeps:
        from launch.cli.tables import sweeps_table

        console.print_out(sweeps_table(sweeps, changes, now))
    elif args.sweep is None and names:
        console.note(f"no run is {' or '.join(args.state)}")
    elif args.sweep is None:
        console.note(f"no sweeps under {store.root}")
        console.hint(f"`launch sweep FILE` starts one{_others(store)}")
    else:
        _runs(names[0], sweeps[names[0]], states[0])
    return ExitCode.USAGE if damaged else ExitCode.OK


def _last_change(state: SweepState, views: Sequence[RunView]) -> float:
    """Return when a sweep was last submitted, or one of its runs began or ended, in seconds since the epoch."""
    submitted = (header.created for header in state.manifest.headers.values())
    return max([*submitted, *(formatting.last_change(view) or 0.0 for view in views)], default=0.0)


def _sorted_names(sweeps: Mapping[str, Sequence[RunView]], changes: Mapping[str, float], key: str | None) -> list[str]:
    if key == "name":
        return sorted(sweeps)
    if key == "state":
        return sorted(sweeps, key=lambda name: min((_rank(view) for view in sweeps[name]), default=0))
    return sorted(sweeps, key=lambda name: changes[name])


def _sorted(views: Sequence[RunView], key: str | None) -> list[RunView]:
    match key:
        case "age":
            return sorted(views, key=lambda view: formatting.last_change(view) or 0.0)
        case "name":
            return sorted(views, key=lambda view: view.run_id)
        case "state":
            return sorted(views, key=_rank)
        case _:
            return list(views)


def _rank(view: RunView) -> int:
    return formatting.STATE_ORDER.index(view.state)


def _runs(name: str, views: Sequence[RunView], state: SweepState) -> None:
    from launch.cli.tables import runs_table
    from launch.results.latest import divide

    if views:
        console.print_out(runs_table(views, time.time()))
    counts = formatting.count_states(views)
    console.note(
        f"{name}: {formatting.plural(len(views), 'run')}" + (f": {formatting.state_words(counts)}" if counts else "")
    )
    earlier = {view.run_id for view in divide(state.views(), state.manifest).superseded}
    if count := sum(view.run_id in earlier for view in views):
        what = "1 of them is an earlier run" if count == 1 else f"{count:,} of them are earlier runs"
        console.note(
            f"{name}: {what}: the sweep as last submitted has another configuration; "
            f"`launch results {name}` leaves them out"
        )
    advise(name, views, manifest=state.manifest)


def _others(store: Store) -> str:
    """Return which other folders of runs have sweeps, as text that continues a hint."""
    from launch.actions.targets import other_places

    return "".join(f"; there are sweeps under {each.root}: add `{each.option}`" for each in other_places(store, None))


def advise(name: str, views: Sequence[RunView], *, options: str = "", manifest: Manifest | None = None) -> None:
    """Print hints: the commands that the user may want to type next.

    Args:
        name: The name of the sweep.
        views: Its runs.
        options: Further options, for the command that retries runs.
        manifest: The manifest of the sweep, which says what was typed; None for several sweeps.
    """
    earlier = [view for view in views if manifest is not None and manifest.is_earlier(view.run_id)]
    current = [view for view in views if manifest is None or not manifest.is_earlier(view.run_id)]
    is_alive = any(view.state in (State.PENDING, State.RUNNING) for view in views)
    _advise_current(current, name, options, manifest, is_alive=is_alive)
    left = [view for view in earlier if view.state is not State.SUCCEEDED]
    if left and not is_alive:
        runs = formatting.plural(len(left), "run")
        is_one = len(left) == 1
        run = f"{name}/{left[0].run_id}" if is_one else "RUN"
        console.hint(
            f"{runs} of earlier submissions did not succeed; `launch retry {name}{options} --earlier` continues "
            f"{'it' if is_one else 'them'}, `launch rm {run}` deletes {'it' if is_one else 'one'}"
        )


def _advise_current(
    views: Sequence[RunView], name: str, options: str, manifest: Manifest | None, *, is_alive: bool
) -> None:
    """Print what resumes runs that the newest submission lists, or else what retries them."""
    free = formatting.free(views)
    counts = formatting.count_states(free)
    waiting = [v.run_id for v in free if v.state in (State.PLANNED, State.PREEMPTED, State.LOST)]
    if waiting and not is_alive:
        from launch.cli.location import is_edited_since, resume_command, resume_commands

        commands = {resume_command(None): waiting} if manifest is None else resume_commands(manifest, waiting)
        for command, runs in commands.items():
            edited = manifest is not None and is_edited_since(manifest, runs[0])
            what = "resumes those that the file, edited since, still has" if edited else "resumes"
            console.hint(f"{formatting.plural(len(runs), 'run')} not at work; `{command}` {what}")
    elif counts.get(State.FAILED):
        failed = formatting.first_failed(views)
        console.hint(f"`launch logs {failed}` shows why; `launch retry {name}{options}` runs them again")
    elif counts.get(State.CANCELLED):
        console.hint(f"`launch retry {name}{options}` runs again what was cancelled")


def as_json(views: Sequence[RunView]) -> str:
    """Return runs as a JSON list of objects, one field per attribute of `launch.store.view.RunView`."""
    from dataclasses import asdict

    from launch.store.status import with_last_step

    return json.dumps([asdict(with_last_step(view)) for view in views], indent=2, ensure_ascii=False, default=str)
