"""`launch gc`: lists and deletes the files that finished runs no longer need."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from launch.cli import console, formatting
from launch.errors import ExitCode, StoreError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from launch.actions.gc import Garbage
    from launch.cli.parser import Parser

EXAMPLES = """
launch gc --dry-run                           show what would go, and how much it is
launch gc mnist5k                             thin the finished runs of one sweep
launch gc
"""

_NOUNS = {"temporary": "temporary file", "removed": "removed folder"}  # of the kinds that are not nouns


def configure(parser: Parser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("sweep", metavar="SWEEP", nargs="?", help="a sweep's name or its file; default: all")
    parser.add_argument("--dry-run", action="store_true", help="only show what would be deleted")
    parser.description = (
        "Delete what finished runs no longer need: all checkpoints but the last of each run that has succeeded (it "
        "holds the best model too); leftover temporary files; snapshots of code, copies of plug-ins and converted "
        "images that no run refers to. "
        "Runs that are live or have not succeeded keep everything."
    )


def execute(args: argparse.Namespace) -> int:
    """Print the files that can be deleted, then delete them."""
    from launch.actions import gc
    from launch.actions.targets import sweep_name
    from launch.cli.location import open_location

    store = open_location(args)
    names = store.sweeps() if args.sweep is None else [sweep_name(store, args.sweep)]
    for unended in () if args.dry_run else gc.end_containers(store, names):
        console.warn(unended.error.message)
    garbage = gc.find_garbage(store, names)
    if garbage:
        rows = [[item.kind, formatting.size(item.size), str(item.path)] for item in garbage]
        console.print_out(console.table(["kind", "size", "path"], rows, right=["size"], elastic="path"))
    total = sum(item.size for item in garbage)
    if args.dry_run or not garbage:
        console.note(f"{_words(garbage)}: {formatting.size(total)} can go" if garbage else "nothing to delete")
        return ExitCode.OK
    try:
        freed = gc.remove(store, garbage)
    except OSError as error:
        raise StoreError(f"{error.filename}: {error.strerror}", hint="type `launch gc` again to go on") from error
    console.note(f"{_words(garbage)}: {formatting.size(freed)} freed")
    return ExitCode.OK


def _words(garbage: Sequence[Garbage]) -> str:
    counts = Counter(_NOUNS.get(item.kind, item.kind) for item in garbage)
    return ", ".join(formatting.plural(count, kind) for kind, count in counts.items())
