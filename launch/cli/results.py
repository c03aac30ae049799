"""`launch results`: shows or exports the results table of sweeps, or a table of their runs."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from launch.cli import console
from launch.cli.report import write_file
from launch.errors import ExitCode, LaunchError
from launch.results import export, format
from launch.results.sorting import sort_records, sort_rows
from launch.results.text_table import result_columns

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from launch.cli.parser import Parser
    from launch.results.gather import Results
    from launch.results.table import ResultRow

EXAMPLES = """
launch results mnist5k
launch results mnist5k --metric test/accuracy --metric val/loss
launch results mnist5k --sort -val/accuracy
launch results mnist5k --runs                 one row per run
launch results mnist5k other                  the rows of two sweeps in one table
launch results sweeps/mnist5k.yaml --format csv --output mnist5k.csv
launch results mnist5k --format json | jq '.[0].mean'
"""

FORMATS = ("table", "csv", "json", "parquet")
_HASH_DIGITS = 8  # of a commit or a snapshot in a table


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("sweeps", metavar="SWEEP", nargs="+", help="a sweep's name or its file")
    parser.add_argument("--format", metavar="FORMAT", choices=FORMATS, default="table", help=", ".join(FORMATS))
    add_table_arguments(parser)
    parser.add_argument("--per-run", action="store_true", help="one row per run, with every metric")
    parser.add_argument(
        "--runs",
        metavar="DIR",
        nargs="?",
        const="",
        help="where runs lie (default: the runs_dir of the profile of --on, else $LAUNCH_RUNS, else ./runs); "
        "without DIR the same as --per-run",
    )
    parser.add_argument("--output", metavar="PATH", help="write to this file instead of stdout")


def add_table_arguments(parser: Parser) -> None:
    """Add the options that `launch results` and `launch compare` share."""
    parser.add_argument(
        "--metric",
        metavar="METRIC",
        action="append",
        default=[],
        help="another metric than the sweep's own, such as val/accuracy; several times for several columns",
    )
    parser.add_argument(
        "--sort",
        metavar="KEY",
        help="sort by a column, such as lr or mean, or by any metric, which is shown too; -KEY for descending order",
    )
    parser.add_argument("--all", action="store_true", help="show runs of earlier configurations too, and mark them")


def execute(args: argparse.Namespace) -> int:
    """Print the table, or write it to a file."""
    from launch.actions.targets import find_sweep
    from launch.cli.location import open_location, resume_command
    from launch.cli.problems import warn_of_damage, warn_of_unreadable
    from launch.results.gather import gather_all

    if args.format == "parquet" and args.output is None and sys.stdout.isatty():
        raise LaunchError(
            "a terminal cannot show a Parquet file", hint="write it to a file: `--output results.parquet`"
        )
    store = open_location(args)
    states = [find_sweep(store, word).state() for word in dict.fromkeys(args.sweeps)]
    per_run = args.per_run or args.runs == ""  # its rows have every metric
    results = gather_all(states, args.metric, superseded=args.all, sort=None if per_run else args.sort)
    warn_of_damage(states)
    warn_of_unreadable(results)
    counts = Counter(str(view.state) for view in results.views)
    if counts.keys() <= {"PLANNED"}:
        console.hint(f"no run of {results.sweep} has been started; `{resume_command(states[0].manifest)}` starts them")
    if args.format == "table" and args.output is None and results.is_empty and not per_run:
        words = ", ".join(f"{count:,} {state.lower()}" for state, count in counts.items())
        console.note(f"{results.sweep}: {words}; no run left a metric")
        return ExitCode.OK
    content = _runs_content(results, args) if per_run else _rows_content(results, args)
    if args.output is None:
        console.raw(content) if args.format == "parquet" else console.print_out(content.decode().removesuffix("\n"))
    else:
        write_file(args.output, content)
    return ExitCode.SOME_FAILED if results.unreadable else ExitCode.OK


def _rows_content(results: Results, args: argparse.Namespace) -> bytes:
    """Return the table with one row per configuration in the format that was asked for."""
    others = sorted({name for one in results.metrics.values() for name in one})
    rows = sort_rows(results.rows, args.sort, others) if args.sort else results.rows
    if args.format == "table":
        return _encode(table(rows) + "\n")
    # JSON keeps the settings together; the flat formats have a column for each.
    return export_records(
        [asdict(row) for row in rows] if args.format == "json" else export.row_records(rows), args.format
    )


def _runs_content(results: Results, args: argparse.Namespace) -> bytes:
    """Return the table with one row per run in the format that was asked for."""
    records: Sequence[Mapping[str, Any]] = results.run_records()
    records = sort_records(records, args.sort) if args.sort else records
    return _encode(runs_table(records) + "\n") if args.format == "table" else export_records(records, args.format)


def export_records(records: Sequence[Mapping[str, Any]], form: str) -> bytes:
    """Return records as a file in the format `csv`, `json` or `parquet`."""
    match form:
        case "parquet":
            return export.to_parquet(records)
        case "json":
            return _encode(export.to_json(records) + "\n")
        case _:
            return _encode(export.to_csv(records))


def _encode(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def table(rows: Sequence[ResultRow]) -> str:
    """Return the rows as a text table for the terminal; see `result_columns`."""
    columns, numeric = result_columns(rows)
    return _text(columns, numeric, elastic="experiment")


def runs_table(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the records of runs as a text table, without columns that are empty or say the same of every run."""
    columns: dict[str, list[str]] = {}
    numeric: list[str] = []
    for name in export.column_names(records):
        values = [record[name] for record in records]
        if all(value is None for value in values) or (name in ("sweep", "current") and len(set(values)) == 1):
            continue
        is_number = all(isinstance(value, int | float | None) and not isinstance(value, bool) for value in values)
        heading = f"{name} %" if is_number and format.is_percent(name) else name
        columns[heading] = [_cell(name, value) for value in values]
        numeric += [heading] if is_number else []
    return _text(columns, numeric, elastic="run")


def _cell(name: str, value: Any) -> str:
    if value is None:
        return format.MISSING
    if name in ("commit", "snapshot"):
        commit, dash, dirty = str(value).partition("-")
        return f"{commit[:_HASH_DIGITS]}{dash}{dirty}"
    if isinstance(value, float) and "/" in name:
        return format.number_text(value, name)
    return format.value_text(value)


def _text(columns: Mapping[str, Sequence[str]], numeric: Sequence[str], elastic: str) -> str:
    rows = list(zip(*columns.values(), strict=True))
    return console.table(list(columns), rows, right=numeric, elastic=elastic if elastic in columns else None)
