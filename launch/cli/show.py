"""`launch show`: shows what is stored about one run, or the configuration of a recipe."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from launch.cli import console, formatting
from launch.errors import ExitCode, LaunchError
from launch.grammar import format_value
from launch.results.format import MISSING, value_text
from launch.store.state import State
from launch.store.status import with_last_step
from s5.errors import UserError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from launch.actions.describe import RunDetails
    from launch.cli.parser import Parser
    from launch.store.records import AttemptRecord

EXAMPLES = """
launch show digits-s5-lr=0.001-s0             the beginning of an id, if no other run begins so
launch show mnist5k/mnist5k-sequential-s2-7c01be94
launch show digits/s5                         all settings of a recipe
launch show digits/s5 model=lru optim.lr=0.002
launch show pipeline=mnist model=s4           also of a pipeline
launch show digits-s5-s0-33603ae7 --json | jq '.config."optim.lr"'
"""

_INDENT = " " * 12
_DIGITS = 8  # of the hash of data


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "run",
        metavar="RUN",
        help="a run id, the beginning of one, SWEEP/RUN, or a SWEEP of one run; or EXPERIMENT, such as digits/s5",
    )
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="changes of the recipe EXPERIMENT")
    parser.add_argument(
        "--plugins", metavar="PLUGIN", action="append", default=[], help="a folder or entry point that has EXPERIMENT"
    )
    parser.add_argument(
        "--hash-data", action="store_true", help="hash all raw data of the run, as they are now; reads every file whole"
    )
    parser.add_argument("--json", action="store_true", help="one object with everything, also the whole configuration")
    parser.description = (
        "Show one run: its state, what its configuration sets differently from the recipe, its command, its results, "
        "its attempts with their times and reasons, the version of its code, and its files. Or print the whole "
        "configuration of a recipe as YAML, with --json as JSON."
    )


def execute(args: argparse.Namespace) -> int:
    """Print the run as text or as JSON."""
    from launch.actions.describe import describe_run, hash_data
    from launch.actions.targets import find_run
    from launch.cli.location import open_location
    from s5.config.search_path import task_names

    if args.overrides or args.plugins or "=" in args.run.partition("-")[0] or args.run in task_names():
        return _show_recipe(args)
    store = open_location(args)
    name, run_id = find_run(store, args.run)
    run = describe_run(store.sweep(name), run_id)
    hashed = {"data_hash": hash_data(run)} if args.hash_data else {}
    if args.json:
        console.print_out(json.dumps(_as_json(run) | hashed, indent=2, ensure_ascii=False, default=str))
        return ExitCode.OK
    for name, lines in _sections(run):
        for number, line in enumerate(lines):
            console.print_out(f"{console.printable(name):<12}{line}" if number == 0 else f"{_INDENT}{line}")
    if args.hash_data:
        found = hashed["data_hash"]
        told = f"sha256 {found}, of the files as they are now" if found else "none: there are no raw files here"
        console.print_out(f"{'data hash':<12}{told}")
    return ExitCode.OK


def _show_recipe(args: argparse.Namespace) -> int:
    """Print the configuration of a recipe."""
    from s5.config.compose import compose
    from s5.config.identity import to_dict
    from s5.config.search_path import task_choice
    from s5.config.yaml_text import yaml_text

    plugins = [f"plugins={format_value(args.plugins)}"] if args.plugins else []
    try:
        group, name = task_choice(args.run)
        task = args.run if "=" in args.run else f"{group}={name}"
        values = to_dict(compose([*plugins, task, *args.overrides]))
    except UserError as error:
        raise LaunchError(error.message, hint=error.hint) from error
    text = json.dumps(values, indent=2, ensure_ascii=False) if args.json else yaml_text(values).rstrip()
    console.print_out(text)
    return ExitCode.OK


def _sections(run: RunDetails) -> Iterator[tuple[str, list[str]]]:
    """Yield the name of each section, and its lines."""
    view = run.view
    yield "run", [console.printable(view.run_id)]
    yield "sweep", [console.printable(f"{view.sweep} ({run.header.file})" if run.header.file else view.sweep)]
    why = formatting.last_log_line(view)
    yield "state", [console.printable(f"{view.state}  {why}" if why else str(view.state))]
    plugins = "".join(f", plug-in {place}" for place in run.config.get("plugins") or ())
    yield "recipe", [console.printable(f"{view.experiment}, seed {view.seed}{plugins}")]
    yield "config", _config_lines(run)
    yield "runs as", [_placement(run)]
    last = run.attempts[-1].record if run.attempts else None
    command = (last and last.command) or run.record.command or ()
    if command:
        yield "command", [console.printable(shlex.join(command))]
    if run.result:
        yield "results", _pairs({**run.result["metrics"], **_facts(run)})
    yield "attempts", _attempt_lines(run) or ["none: it has not been started yet"]
    yield "files", [line for line in _files(run) if line]


def _config_lines(run: RunDetails) -> list[str]:
    if run.record.parameters is not None:
        return _pairs(run.record.parameters)
    if run.differences is None:
        shown = list(run.record.overrides) or ["no overrides"]
        why = f"the recipe cannot be composed here: {run.problem}"
        return [*map(console.printable, shown), console.printable(f"(these are its overrides; {why})")]
    if not run.differences:
        return ["as in the recipe"]
    width = max(map(len, run.differences))
    return [
        console.printable(f"{key:<{width}}  {value_text(one.run)}  (recipe: {value_text(one.recipe)})")
        for key, one in run.differences.items()
    ]


def _placement(run: RunDetails) -> str:
    resources = {key: value for key, value in run.view.resources.to_json().items() if value}
    asked = ", ".join(f"{key} {value_text(value)}" for key, value in resources.items())
    return console.printable(f"{run.header.backend}, profile {run.header.profile}, {run.header.runtime}: {asked}")


def _facts(run: RunDetails) -> dict[str, Any]:
    """Return the facts in a result besides the metrics, such as the number of parameters."""
    hidden = ("metrics", "version", "environment")  # --json has them
    return {key: _fact(key, value) for key, value in run.result.items() if key not in hidden}


def _fact(name: str, value: Any) -> Any:
    """Return a mapping as one line of text, and any other fact unchanged."""
    if not isinstance(value, Mapping):
        return value
    parts = cast("Mapping[str, Any]", value)
    try:
        if name == "data":  # a fingerprint; see `s5.catalog.fingerprint`
            newest = time.strftime("%Y-%m-%d %H:%M", time.localtime(parts["newest"]))
            files = formatting.plural(parts["files"], "file")
            return f"{files} of {parts['bytes']:,} bytes, the newest of {newest}, sample {parts['sample'][:_DIGITS]}"
    except (KeyError, TypeError, ValueError):  # a command writes what it wants to
        pass
    return ", ".join(f"{key} {value_text(part)}" for key, part in parts.items())


def _pairs(values: dict[str, Any]) -> list[str]:
    width = max(map(len, values), default=0)
    return [console.printable(f"{key:<{width}}  {value_text(value)}") for key, value in values.items()] or ["none"]


def _attempt_lines(run: RunDetails) -> list[str]:
    lines: list[str] = []
    for one in run.attempts:
        record = one.record
        if record is None:
            lines.append(f"{one.number}  its record cannot be read")
            continue
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.started))
        runs = one is run.attempts[-1] and run.view.state == State.RUNNING
        ended = time.time() if runs else record.ended
        took = MISSING if ended is None else formatting.duration(ended - record.started)
        job = f", job {record.job_id}" if record.job_id else ""
        lines.append(
            console.printable(
                f"{one.number}  {began}  {took:>7}  {'running' if runs else _end(record)}  on {record.machine}{job}"
            )
        )
    return lines


def _end(record: AttemptRecord) -> str:
    if record.reason is None:
        return "no end recorded"
    code = f"exit code {record.exit_code}" if record.exit_code else f"signal {record.signal}" if record.signal else ""
    words = str(record.reason) + (f" ({code})" if code else "")
    return f"{words}: {record.message}" if record.message else words


def _files(run: RunDetails) -> Iterator[str]:
    yield console.printable(run.view.run_dir)
    if not run.attempts:
        return
    last = run.attempts[-1]
    yield console.printable(f"log      {last.log}")
    yield console.printable(f"metrics  {last.metrics}") if last.metrics else ""
    if last.commit or last.snapshot:
        yield console.printable(
            f"code     {last.snapshot or 'deleted'}" + (f", commit {last.commit}" if last.commit else "")
        )


def _as_json(run: RunDetails) -> dict[str, Any]:
    differences = run.differences
    return {
        **asdict(with_last_step(run.view)),
        "file": run.header.file,
        "backend": run.header.backend,
        "profile": run.header.profile,
        "runtime": run.header.runtime,
        "image": None if run.header.image is None else asdict(run.header.image),
        "command": run.record.command,
        "overrides": run.record.overrides,
        "science_hash": run.record.science_hash,
        "config": run.config,
        "differences": None if differences is None else {key: one._asdict() for key, one in differences.items()},
        "result": run.result or None,
        "attempt_list": [
            {
                **({} if one.record is None else asdict(one.record)),
                "attempt": one.number,
                "commit": one.commit,
                "snapshot_path": one.snapshot,
                "log": one.log,
                "metrics": one.metrics,
            }
            for one in run.attempts
        ],
    }
