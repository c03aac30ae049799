"""`launch results`: shows or exports the results table of a sweep."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING

from launch.cli import console
from launch.cli.report import write_file
from launch.errors import ExitCode, LaunchError
from launch.results import export, format
from launch.results.gather import gather

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from launch.cli.parser import Parser
    from launch.results.table import ResultRow

EXAMPLES = """
launch results mnist5k
launch results sweeps/mnist5k.yaml --format csv --output mnist5k.csv
launch results mnist5k --format json | jq '.[0].mean'
"""

FORMATS = ("table", "csv", "json", "parquet")


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("sweep", metavar="SWEEP", help="a sweep's name or its file")
    parser.add_argument("--format", metavar="FORMAT", choices=FORMATS, default="table", help=", ".join(FORMATS))
    parser.add_argument("--metric", help="another metric than the sweep's own, such as val/accuracy")
    parser.add_argument("--output", metavar="PATH", help="write to this file instead of stdout")


def execute(args: argparse.Namespace) -> int:
    """Print the table, or write it to a file."""
    from launch.actions.targets import find_sweep, open_store
    from launch.cli.problems import warn_of_damage, warn_of_unreadable

    if args.format == "parquet" and args.output is None and sys.stdout.isatty():
        raise LaunchError(
            "a terminal cannot show a Parquet file", hint="write it to a file: `--output results.parquet`"
        )
    state = find_sweep(open_store(args.runs), args.sweep).state()
    results = gather(state, args.metric)
    warn_of_damage([state])
    warn_of_unreadable(results)
    states = sum((Counter(row.states) for row in results.rows), Counter[str]())
    if states.keys() <= {"PLANNED"}:
        console.hint(f"no run of {state.name} has been started; `launch sweep FILE` starts them")
    if args.format == "table" and args.output is None and results.is_empty:
        counts = ", ".join(f"{count:,} {state.lower()}" for state, count in states.items())
        console.note(f"{state.name}: {counts}; no run left a metric")
        return ExitCode.OK
    content = _render(results.rows, args.format)
    if args.output is None:
        console.raw(content) if args.format == "parquet" else console.print_out(content.decode().removesuffix("\n"))
    else:
        write_file(args.output, content)
    return ExitCode.SOME_FAILED if results.unreadable else ExitCode.OK


def _render(rows: Sequence[ResultRow], form: str) -> bytes:
    match form:
        case "parquet":
            return export.to_parquet(rows)
        case "json":
            text = export.to_json(rows) + "\n"
        case "csv":
            text = export.to_csv(rows)
        case _:
            text = table(rows) + "\n"
    return text.encode(errors="surrogateescape")


def table(rows: Sequence[ResultRow]) -> str:
    """Return the rows as a text table: accuracies in percent, a missing cell as a dash.

    The columns `published` and `difference` are left out if no row has a published number.
    """
    keys = export.setting_names(rows)
    names = format.short_names(keys)
    compared = any(row.published is not None for row in rows)
    metric = rows[0].metric if rows else "metric"
    heading = f"{metric} %" if format.is_percent(metric) else metric
    numeric = ["seeds", heading, *(["published", "difference"] if compared else [])]
    with_states = any(set(row.states) - {"SUCCEEDED"} for row in rows)
    header = ["experiment", *(names[key] for key in keys), *numeric, *(["runs"] if with_states else [])]
    body: list[list[str]] = []
    for row in rows:
        cells = [row.experiment, *format.setting_cells(row.settings, keys), *_numbers(row)[: len(numeric)]]
        body.append([*cells, _states(row)] if with_states else cells)
    return console.table(header, body, right=numeric, elastic="experiment")


def _numbers(row: ResultRow) -> list[str]:
    seeds, *numbers = format.table_cells(row)
    total = sum(row.states.values())
    return [seeds if len(row.seeds) == total else f"{seeds}/{total}", *numbers]


def _states(row: ResultRow) -> str:
    return ", ".join(f"{count} {state.lower()}" for state, count in row.states.items()) or format.MISSING
