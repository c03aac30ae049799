"""`launch compare`: shows the numbers of several sweeps side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from launch.cli import console
from launch.cli.report import write_file
from launch.cli.results import FORMATS, add_table_arguments, export_records
from launch.errors import ExitCode, LaunchError
from launch.results import format
from launch.results.comparison import compare, compared_records, difference, varied_columns
from launch.results.sorting import resolve_column, sort_by

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from launch.cli.parser import Parser
    from launch.results.comparison import ComparedRow
    from launch.results.table import ResultRow

EXAMPLES = """
launch compare before after
launch compare before after --metric val/loss --sort -lr
launch compare before after --sort -test/accuracy   by the first sweep's mean
launch compare before after --format csv --output changes.csv
"""


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("sweeps", metavar="SWEEP", nargs="+", help="two or more sweeps: their names or their files")
    forms = [form for form in FORMATS if form != "parquet"]
    parser.add_argument("--format", metavar="FORMAT", choices=forms, default="table", help=", ".join(forms))
    add_table_arguments(parser)
    parser.add_argument("--output", metavar="PATH", help="write to this file instead of stdout")


def execute(args: argparse.Namespace) -> int:
    """Print the comparison, or write it to a file."""
    from launch.actions.targets import find_sweep
    from launch.cli.location import open_location
    from launch.cli.problems import warn_of_damage, warn_of_unreadable
    from launch.results.gather import gather_all

    store = open_location(args)
    states = {state.name: state for state in (find_sweep(store, word).state() for word in args.sweeps)}
    if len(states) < 2:
        raise LaunchError(
            f"{next(iter(states))}: one sweep cannot be compared",
            hint="name a second one; `launch results SWEEP` shows the configurations of one sweep",
        )
    results = gather_all(list(states.values()), args.metric, superseded=args.all, sort=args.sort)
    warn_of_damage(states.values())
    warn_of_unreadable(results)
    sweeps, metrics = list(states), list(dict.fromkeys(row.metric for row in results)) or [results.metric]
    rows = _sorted(compare(results, sweeps), sweeps[0], args.sort) if args.sort else compare(results, sweeps)
    _tell_of_unmatched(rows, sweeps, varied_columns(results.groups))
    if args.format == "table":
        content = (_table(rows, sweeps, metrics) + "\n").encode(errors="surrogateescape")
    else:
        content = export_records(compared_records(rows, sweeps, metrics), args.format)
    if args.output is None:
        console.print_out(content.decode().removesuffix("\n"))
    else:
        write_file(args.output, content)
    return ExitCode.SOME_FAILED if results.unreadable else ExitCode.OK


def _tell_of_unmatched(rows: Sequence[ComparedRow], sweeps: Sequence[str], varied: Sequence[str]) -> None:
    """Name the sweeps that share no row with the first, and the columns by which rows match."""
    of_each = [{name for name, _ in row.of} for row in rows]
    for name in sweeps[1:]:
        if not any({sweeps[0], name} <= own for own in of_each):
            columns = ", ".join(["experiment", *varied])
            console.note(f"no row of {name} matches one of {sweeps[0]}: rows match by their values of {columns}")


def _sorted(rows: Sequence[ComparedRow], first: str, word: str) -> list[ComparedRow]:
    """Return rows sorted by a column; a metric alone means that of the first sweep."""
    keys = dict.fromkeys(key for row in rows for key in row.settings)
    names = [f"{name} {metric}" for name, metric in dict.fromkeys(key for row in rows for key in row.of)]
    metrics = dict.fromkeys(metric for row in rows for _, metric in row.of)
    descending, column = resolve_column(word, ["experiment", *keys, *names, *metrics])
    column = f"{first} {column}" if column in metrics else column
    sweep, _, metric = column.partition(" ")

    def value(row: ComparedRow) -> Any:
        if column in names:
            return row.of[sweep, metric].mean if (sweep, metric) in row.of else None
        return row.experiment if column == "experiment" else row.settings.get(column)

    return sort_by(rows, value, descending=descending)


def _table(rows: Sequence[ComparedRow], sweeps: Sequence[str], metrics: Sequence[str]) -> str:
    """Return a text table: for each metric a column per sweep, and the differences from the first sweep."""
    keys = list(dict.fromkeys(key for row in rows for key in row.settings))
    names = format.short_names(keys)
    columns = {"experiment": [row.experiment for row in rows]}
    cells = [format.setting_cells(row.settings, keys) for row in rows]
    columns |= {names[key]: [own[place] for own in cells] for place, key in enumerate(keys)}
    texts = len(columns)
    for metric in metrics:
        for name in sweeps:
            heading = f"{name} {metric}" + (" %" if format.is_percent(metric) else "")
            columns[heading] = _means([row.of.get((name, metric)) for row in rows])
        for name in sweeps[1:]:
            values = [difference(row, sweeps[0], name, metric) for row in rows]
            heading = f"{name} - {sweeps[0]}" if len(metrics) == 1 else f"{name} - {sweeps[0]} {metric}"
            columns[heading] = [format.signed_text(value, metric) for value in values]
    numeric = list(columns)[texts:]
    return console.table(list(columns), list(zip(*columns.values(), strict=True)), right=numeric, elastic="experiment")


def _means(rows: Sequence[ResultRow | None]) -> list[str]:
    """Return the mean and the number of seeds of each row."""
    texts = zip(rows, format.mean_texts(rows), strict=True)
    return [text if row is None or row.mean is None else f"{text} ({len(row.seeds)})" for row, text in texts]
