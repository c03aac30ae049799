"""The words of a command with the full paths of the files that they name.

A program starts in a folder of its own, so a relative word that names a file becomes a full path. The path is that of
the first submission, whatever folder a later command is typed in: another folder may have another file of that name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from launch.specs.parameters import file_named, fill
from launch.store.attempts import attempt_numbers, attempt_path, find_attempt
from launch.store.records import RunRecord


@dataclass(frozen=True, kw_only=True)
class ProgramWords:
    """The command line of a program.

    Attributes:
        words: Its words, with full paths.
        files: The full paths of the words that named a file when the run was first submitted, by word.
    """

    words: tuple[str, ...]
    files: Mapping[str, str]

    @property
    def lost(self) -> dict[str, str]:
        """Those of `files` that are no file any more."""
        return {word: path for word, path in self.files.items() if not os.path.isfile(path)}


def with_files(record: RunRecord, cwd: str, sweep_file: str | None) -> RunRecord:
    """Return the record of a new run with the files that the words of its command name.

    Args:
        record: The record.
        cwd: The folder in which the user typed the command.
        sweep_file: The sweep file; None for none.
    """
    if record.command is None:
        return record
    folders = [cwd] if sweep_file is None else [cwd, os.path.dirname(os.path.abspath(sweep_file))]
    folders = list(dict.fromkeys(folders))
    found = {word: file_named(word, folders) for word in _placeable(record, _filled(record, cwd))}
    files = {word: path for word, path in found.items() if path is not None}
    return replace(record, folders=tuple(folders), files=files)


def program_words(record: RunRecord, run_dir: str, cwd: str, sweep_file: str | None) -> ProgramWords:
    """Return the words of a stored run.

    A word that was no file when the run was submitted may name one now. A run that an older version stored takes the
    files of its first attempt; without an attempt, those next to the sweep file or in `cwd`.

    Args:
        record: Its `run.json`, with a command.
        run_dir: Its directory.
        cwd: The folder in which the user typed the command that starts the run now.
        sweep_file: The sweep file as the manifest names it; None for none.
    """
    now = [cwd] if sweep_file is None else [os.path.join(cwd, os.path.dirname(sweep_file)), cwd]
    first = cwd if record.folders is None else record.folders[0]
    words = _filled(record, first)
    placeable = _placeable(record, words)
    files = dict(record.files or {})
    if record.folders is None:
        words, files = _as_in_first_attempt(words, run_dir)
    folders = [*(record.folders or ()), *now]
    found = {word: files.get(word) or file_named(word, folders) or word for word in placeable}
    program, *others = (found.get(word, word) for word in words)
    if os.sep in program:
        program = os.path.join(first, program)
    return ProgramWords(words=(program, *others), files=files)


def _filled(record: RunRecord, cwd: str) -> tuple[str, ...]:
    command = record.command or ()
    return command if record.parameters is None else fill(command, record.parameters, record.seed, cwd)


def _placeable(record: RunRecord, words: Sequence[str]) -> Sequence[str]:
    """Return the words that may name a file: of a command in place of a training only a program with a folder."""
    return words if record.parameters is not None else [word for word in words[:1] if os.sep in word]


def _as_in_first_attempt(words: tuple[str, ...], run_dir: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the words and files of a run whose record has none: those of its first attempt, which has full paths."""
    numbers = attempt_numbers(run_dir)
    attempt = find_attempt(attempt_path(run_dir, numbers[0])) if numbers else None
    if attempt is None or len(attempt.command) != len(words):
        return words, {}
    pairs = list(zip(words, attempt.command, strict=True))
    files = {word: path for word, path in pairs if os.path.isabs(path) and path.endswith(os.sep + word)}
    # A word with `{cwd}` in it was another one then.
    return tuple(path if os.path.isabs(word) and os.path.isabs(path) else word for word, path in pairs), files
