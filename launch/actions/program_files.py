"""Find the files that commands name: stored with new runs, and checked before stored runs are started again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from launch.errors import LaunchError, StoreError, plural
from launch.store.program_words import program_words, with_files
from launch.store.record_json import read_record
from launch.store.records import RunRecord
from s5.run_dir.result import CWD_VARIABLE, RUN

if TYPE_CHECKING:
    from launch.compose.run import Run


def with_program_files(runs: Sequence[Run], sweep_file: str | None) -> list[Run]:
    """Return runs whose records have the files that their commands name, seen from here or from the sweep file."""
    cwd = _typed()
    return [
        run if run.record.command is None else replace(run, record=with_files(run.record, cwd, sweep_file))
        for run in runs
    ]


def check_program_files(sweep: str, runs: Mapping[str, RunRecord | None], sweep_file: str | None) -> list[str]:
    """Check the files of stored runs that are to be started.

    Args:
        sweep: The sweep's folder, `runs/<sweep>`.
        runs: The runs by id, each with the record that it would have if it were new; None if it is not submitted again.
            Runs without a directory or a command are passed over.
        sweep_file: The sweep file as the manifest names it; None for none.

    Returns:
        A warning for each word that names another file now than when runs were first submitted.

    Raises:
        LaunchError: If a file that a command named is gone.
    """
    lost: dict[tuple[str, str], list[str]] = {}
    others: dict[tuple[str, str, str], int] = {}
    for run_id, new in runs.items():
        if new is not None and new.command is None:
            continue
        try:
            record = read_record(RunRecord, f"{sweep}/{run_id}/{RUN}")
        except StoreError:
            continue  # it is new, or its record is written again
        if record.command is None:
            continue
        program = program_words(record, f"{sweep}/{run_id}", _typed(), sweep_file)
        for word_and_path in program.lost.items():
            lost.setdefault(word_and_path, []).append(run_id)
        today = (new.files if new is not None else None) or {}
        for word, path in program.files.items():
            if _differ(path, here := today.get(word, path)):
                others[word, path, here] = others.get((word, path, here), 0) + 1
    if lost:
        raise _lost_error(lost)
    return [
        f"{word} is {here} for new runs; {plural(count, 'earlier run')} {'executes' if count == 1 else 'execute'} "
        f"{path}, as first submitted"
        for (word, path, here), count in others.items()
    ]


def _lost_error(lost: Mapping[tuple[str, str], Sequence[str]]) -> LaunchError:
    (word, path), run_ids = next(iter(lost.items()))
    more = f" and {plural(len(run_ids) - 1, 'more run')}" if len(run_ids) > 1 else ""
    also = "".join(f"; also {other}" for _, other in list(lost)[1:])
    return LaunchError(
        f"{word}: there is no file {path} any more, with which {run_ids[0]}{more} "
        f"{'were' if more else 'was'} submitted{also}",
        hint="put the file back, or a link to where it is now; after `launch rm SWEEP/RUN` the sweep's command "
        "makes a new run, with the file that it finds",
    )


def _differ(one: str, other: str) -> bool:
    """Return whether two paths are different files; a path without a file is another error."""
    return os.path.isfile(one) and os.path.realpath(one) != os.path.realpath(other)


def _typed() -> str:
    return os.environ.get(CWD_VARIABLE) or os.getcwd()
