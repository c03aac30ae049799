"""`launch models`: lists the model families, and shows one in full: its paper, its keys, and what trains it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from launch.cli import console
from launch.errors import ExitCode, LaunchError
from s5.errors import UserError

if TYPE_CHECKING:
    import argparse

    from launch.cli.parser import Parser

EXAMPLES = """
launch models                                 one line for each family
launch models s4                              its keys, their defaults and values, its recipes and sweeps
launch models gru --plugins docs/examples/gru
launch models --json | jq '.[] | {name, source}'
"""


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("families", metavar="FAMILY", nargs="*", help="a model family, such as s4; default: all")
    parser.add_argument(
        "--plugins", metavar="PLUGIN", action="append", default=[], help="a folder or entry point with own families"
    )
    parser.add_argument("--json", action="store_true", help="a list with everything about the families")


def execute(args: argparse.Namespace) -> int:
    """Print the families."""
    from s5.config.family_info import family_infos, family_lines, overview_rows
    from s5.config.plugins import load_plugins, plugin_folder

    try:
        load_plugins([str(plugin_folder(place)) for place in args.plugins])
        infos = family_infos(args.families)
    except UserError as error:
        raise LaunchError(error.message, hint=error.hint) from error
    if args.families or args.json:
        sweeps = _sweeps_by_family()
        found = {info.name: sweeps.get(info.name, []) for info in infos}
    else:
        found = {}
    if args.json:
        rows = [{**info.as_json(), "sweeps": found[info.name]} for info in infos]
        console.print_out(json.dumps(rows, indent=2, ensure_ascii=False))
    elif args.families:
        columns = min(console.terminal_columns(), 120)
        console.print_out("\n\n".join("\n".join(family_lines(info, found[info.name], columns)) for info in infos))
    else:
        header, *rows = overview_rows(infos)
        console.print_out(console.table(header, rows, elastic="layer"))
        console.hint("`launch models FAMILY` shows its keys, recipes and sweeps")
    return ExitCode.OK


def _sweeps_by_family() -> dict[str, list[str]]:
    """Return the sweep files in `sweeps/` that train each family; files that are not valid are left out."""
    from launch.sweepfile.sweep import load_sweep
    from s5.config.family_info import family_of, recipe_models

    recipes = recipe_models()
    found: dict[str, list[str]] = {}
    for file in sorted(Path("sweeps").glob("*.yaml")):
        try:
            runs = load_sweep(file).runs
        except LaunchError:
            continue
        models = [next((w for w in reversed(run.overrides) if w.startswith("model=")), "") for run in runs]
        chosen = [word[6:] or recipes.get(run.experiment, "") for word, run in zip(models, runs, strict=True)]
        for kind in dict.fromkeys(family_of(model) for model in chosen if family_of(model)):
            found.setdefault(kind, []).append(str(file))
    return found
