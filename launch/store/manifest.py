"""The manifest of a sweep: one file for each generation, a list of runs that never changes once it is written.

    runs/<sweep>/manifest/0001.jsonl   the header, then one line for each run

A submission or a retry adds a generation. If two generations list a run with the same resources, their lines are
equal byte for byte, so a reader parses the line once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from launch.errors import StoreError
from launch.store.files import create_file, fault_point, read_bytes, store_errors
from launch.store.record_json import from_json, to_json
from launch.store.records import ManifestEntry, ManifestHeader, Trigger
from s5.run_dir.json_file import parse_json
from s5.run_dir.numbers import numbers_in

# The key of a block's name among the settings of its runs. No key of a config has this name.
BLOCK = "block"

_FOLDER = "manifest"  # in the sweep's folder

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedRun:
    """A run that the manifest lists."""

    entry: ManifestEntry  # the newest line of the run
    generation: int  # the newest generation that lists it
    retried: int = 0  # the newest generation that lists it because the user asked to retry; 0 for none
    submitted: int = 0  # the newest generation that lists it because the sweep was submitted; 0 for none


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All generations of a sweep, read at one moment. Immutable.

    Attributes:
        headers: The header of each generation.
        run_ids: The run ids of each generation, in its order, without runs that were deleted since.
        listed: Every run that any generation lists, in the order in which the runs were first listed.
        removed: The runs that the user has deleted.
        problems: The lines and files that could not be read, one message each, naming the file.
    """

    headers: Mapping[int, ManifestHeader] = field(default_factory=dict[int, ManifestHeader])
    run_ids: Mapping[int, tuple[str, ...]] = field(default_factory=dict[int, tuple[str, ...]])
    listed: Mapping[str, ListedRun] = field(default_factory=dict[str, ListedRun])
    removed: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()

    @property
    def newest(self) -> int:
        """The number of the newest generation that can be read; 0 without one."""
        return max(self.headers, default=0)

    @property
    def has_dependencies(self) -> bool:
        """Whether any run waits for others."""
        return any(one.entry.requires for one in self.listed.values())

    @cached_property
    def last_complete(self) -> int:
        """The number of the newest submission without `--only`; 0 without one."""
        headers = self.headers.items()
        return max((number for number, one in headers if one.why == Trigger.SUBMIT and one.complete), default=0)

    def is_earlier(self, run_id: str) -> bool:
        """Return whether only earlier submissions than the newest list a run: the sweep's command does not start it.

        The newest submission is the newest without `--only`, and all later ones with `--only`.
        """
        return self.listed[run_id].submitted < self.last_complete

    def is_left_out(self, run_id: str) -> bool:
        """Return whether a run is earlier, and was not retried since the newest submission either."""
        return self.listed[run_id].generation < self.last_complete

    def newest_header(self) -> ManifestHeader:
        """Return the header of the newest generation that can be read and is not a removal of runs.

        Raises:
            StoreError: If no generation can be read.
        """
        newest = max((n for n, header in self.headers.items() if header.why is not Trigger.REMOVE), default=None)
        if newest is None:
            raise StoreError(self.problems[0] if self.problems else "the sweep has no manifest")
        return self.headers[newest]

    def with_generation(self, header: ManifestHeader, entries: Sequence[ManifestEntry]) -> Manifest:
        """Return this manifest with one more generation, the newest."""
        generation = header.generation
        if header.why is Trigger.REMOVE:
            return self._with_removal(header, frozenset(entry.run_id for entry in entries))
        retried = generation if header.why == Trigger.RETRY else 0
        submitted = generation - retried
        listed = dict(self.listed)
        for entry in entries:
            known = listed.get(entry.run_id)
            listed[entry.run_id] = ListedRun(
                entry=entry,
                generation=generation,
                retried=retried or (known.retried if known else 0),
                submitted=submitted or (known.submitted if known else 0),
            )
        return replace(
            self,
            headers={**self.headers, generation: header},
            run_ids={**self.run_ids, generation: tuple(entry.run_id for entry in entries)},
            listed=listed,
            removed=self.removed - listed.keys(),
        )

    def _with_removal(self, header: ManifestHeader, gone: frozenset[str]) -> Manifest:
        run_ids = {number: tuple(r for r in each if r not in gone) for number, each in self.run_ids.items()}
        return replace(
            self,
            headers={**self.headers, header.generation: header},
            run_ids={**run_ids, header.generation: ()},
            listed={run_id: one for run_id, one in self.listed.items() if run_id not in gone},
            removed=self.removed | gone,
        )

    def with_planned(self, entries: Sequence[ManifestEntry]) -> Manifest:
        """Return this manifest as if the next generation listed these runs too."""
        listed = dict(self.listed)
        for entry in entries:
            found = listed.get(entry.run_id) or ListedRun(entry=entry, generation=0)
            listed[entry.run_id] = replace(found, entry=entry, submitted=self.newest + 1)
        return replace(self, listed=listed)


def generation_numbers(sweep: str) -> list[int]:
    """Return the numbers of a sweep's generations, oldest first.

    Args:
        sweep: The sweep's folder, `runs/<sweep>`, as in all functions here.
    """
    folder = os.path.join(sweep, _FOLDER)
    with store_errors(f"read {folder}"):
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return []
    numbers = (name[:-6].lstrip("0") for name in names if name.endswith(".jsonl"))
    return [number for number in numbers_in(numbers) if f"{number:04d}.jsonl" in names]


def generation_path(sweep: str, generation: int) -> str:
    """Return the file of a generation."""
    return os.path.join(sweep, _FOLDER, f"{generation:04d}.jsonl")


def read_manifest(sweep: str, known: Manifest | None = None) -> Manifest:
    """Read the generations of a sweep. What cannot be read becomes a problem, not an error.

    Args:
        sweep: The sweep's folder.
        known: The same manifest, read earlier: then only generations that were added since are read.
    """
    numbers = generation_numbers(sweep)
    if known is None or known.problems or not known.headers.keys() <= set(numbers):
        known = Manifest()
    manifest, problems = known, list[str]()
    parsed: dict[bytes, ManifestEntry] = {}
    for generation in numbers:
        if generation in known.headers:
            continue
        path = generation_path(sweep, generation)
        try:
            lines = _lines(path)
            header = _parse(ManifestHeader, path, 1, lines[0])
        except StoreError as error:
            problems.append(error.message)
            continue
        manifest = manifest.with_generation(header, _entries(path, lines[1:], parsed, problems))
    return replace(manifest, problems=tuple(problems)) if problems else manifest


def _entries(
    path: str, lines: list[bytes], parsed: dict[bytes, ManifestEntry], problems: list[str]
) -> list[ManifestEntry]:
    """Return the entries of one generation. A line that is in several generations is parsed once."""
    entries: list[ManifestEntry] = []
    for number, line in enumerate(lines, 2):
        entry = parsed.get(line)
        if entry is None:
            try:
                entry = parsed[line] = _parse(ManifestEntry, path, number, line)
            except StoreError as error:
                problems.append(error.message)
                continue
        entries.append(entry)
    return entries


def read_header(sweep: str, generation: int) -> ManifestHeader:
    """Return the header of a generation.

    Raises:
        StoreError: If the header cannot be read; the message names the file.
    """
    path = generation_path(sweep, generation)
    return _parse(ManifestHeader, path, 1, _lines(path)[0])


def find_entry(sweep: str, generation: int, run_id: str) -> ManifestEntry:
    """Return the entry of one run of a generation, without parsing the other lines.

    Raises:
        StoreError: If the generation cannot be read, or does not list the run.
    """
    path = generation_path(sweep, generation)
    label = json.dumps(run_id).encode()
    for number, line in enumerate(_lines(path)[1:], 2):
        if label in line:
            entry = _parse(ManifestEntry, path, number, line)
            if entry.run_id == run_id:
                return entry
    raise StoreError(f"{path}: lists no run {run_id}")


def was_removed_since(sweep: str, generation: int, run_id: str) -> bool:
    """Return whether a generation after this one deletes the run. What cannot be read deletes nothing."""
    for number in generation_numbers(sweep):
        if number > generation:
            with suppress(StoreError):
                if read_header(sweep, number).why is Trigger.REMOVE and find_entry(sweep, number, run_id):
                    return True
    return False


def freeze(sweep: str, header: ManifestHeader, entries: Sequence[ManifestEntry]) -> ManifestHeader:
    """Add a generation to a sweep's manifest: atomic, durable, never changed again.

    Returns:
        The header with the number of the generation, which this function sets.

    Raises:
        StoreError: If it cannot be written.
    """
    folder = os.path.join(sweep, _FOLDER)
    with store_errors(f"make {folder}"):
        os.makedirs(folder, exist_ok=True)
    fault_point("freeze.before")
    while True:
        frozen = replace(header, generation=max(generation_numbers(sweep), default=0) + 1)
        lines = [json.dumps(to_json(frozen), sort_keys=True), *map(entry_line, entries)]
        # If two launchers add the same number at once, one of them fails and takes the next number.
        if create_file(generation_path(sweep, frozen.generation), ("\n".join(lines) + "\n").encode()):
            fault_point("freeze.after")
            return frozen


def entry_line(entry: ManifestEntry) -> str:
    """Return the manifest line of a run, as JSON. Settings keep the order of the sweep file: tables have it too."""
    plain: dict[str, object] = {
        "experiment": entry.experiment,
        "resources": entry.resources.to_json(),
        "run_id": entry.run_id,
        "seed": entry.seed,
        "settings": entry.settings,
    }
    # Only if there are any: so the lines of other runs equal those that older versions have written.
    plain |= {name: labels for name, labels in (("after", entry.requires), ("gives", entry.provides)) if labels}
    return json.dumps({name: plain[name] for name in sorted(plain)})


def same_but_for_time(one: ManifestHeader, other: ManifestHeader) -> bool:
    """Return whether two headers are equal except for generation, trigger (`why`), time (`created`), folder and commit.

    The commit may change without the code: the snapshot's hash is compared.
    """
    one = replace(one, generation=0, why=other.why, created=0.0, folder=None, commit=None)
    return one == replace(other, generation=0, created=0.0, folder=None, commit=None)


def _lines(path: str) -> list[bytes]:
    with store_errors(f"read {path}"):
        data = read_bytes(path)
    if not data.endswith(b"\n"):
        raise StoreError(f"{path}: the file is cut off", hint="type the sweep's command again: it writes a new one")
    return data[:-1].split(b"\n")


def _parse(kind: type[T], path: str, number: int, line: bytes) -> T:
    where = f"{path}: line {number}"
    try:
        found = from_json(kind, parse_json(line), where)
    except ValueError as error:
        raise StoreError(f"{where}: not JSON: {error}") from error
    if isinstance(found, ManifestEntry) and not _is_name(found.run_id):
        raise StoreError(f"{where}: run_id: {found.run_id[:80]!r} is not the name of a folder")
    return found


def _is_name(run_id: str) -> bool:
    """Return whether a run's id names a folder in that of its sweep, and no place outside."""
    return run_id.isprintable() and "/" not in run_id and not run_id.startswith(".") and run_id != ""
