"""The manifest of a sweep: generations of lists of runs, each frozen before anything refers to it.

    runs/<sweep>/manifest/0001.jsonl   the header, then one run a line

Generations are only ever added. A line is the same bytes in every generation that lists the run with the same
resources, so a reader parses it once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from launch.errors import StoreError
from launch.store.files import create_file, fault_point, read_bytes, store_error
from launch.store.record_json import from_json, to_json
from launch.store.records import ManifestEntry, ManifestHeader

# Among the settings of a line: the name of the run's block, where it has one. No key of a config is called so.
BLOCK = "block"


@dataclass(kw_only=True)
class ListedRun:
    """A run as the manifest knows it.

    Attributes:
        entry: Its newest line.
        generation: The newest generation that lists it.
        retried: The newest generation that lists it because the user asked to retry; 0 for none.
        submitted: The newest one that lists it because the sweep was submitted; 0 for none.
    """

    entry: ManifestEntry
    generation: int
    retried: int = 0
    submitted: int = 0


@dataclass(kw_only=True)
class Manifest:
    """Every generation of a sweep, read at one moment.

    Attributes:
        headers: By generation.
        run_ids: Of every generation, in its order.
        listed: Every run that any generation lists, in the order of their first listing.
        problems: What could not be read, one line each, naming the file.
    """

    headers: dict[int, ManifestHeader] = field(default_factory=dict[int, ManifestHeader])
    run_ids: dict[int, tuple[str, ...]] = field(default_factory=dict[int, tuple[str, ...]])
    listed: dict[str, ListedRun] = field(default_factory=dict[str, ListedRun])
    problems: list[str] = field(default_factory=list[str])

    @property
    def newest(self) -> int:
        """The newest generation that can be read; 0 for none."""
        return max(self.headers, default=0)

    @property
    def has_dependencies(self) -> bool:
        """Whether any run comes after others."""
        return any(one.entry.after for one in self.listed.values())

    def newest_header(self) -> ManifestHeader:
        """Return the first line of the newest generation that can be read.

        Raises:
            StoreError: Where there is none.
        """
        if not self.headers:
            raise StoreError(self.problems[0] if self.problems else "the sweep has no manifest")
        return self.headers[self.newest]


def generation_numbers(folder: str) -> list[int]:
    """Return the numbers of the generations in a manifest's folder, oldest first."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise store_error(error, f"read {folder}") from error
    return sorted(int(name[:-6]) for name in names if name.endswith(".jsonl") and name[:-6].isdigit())


def generation_path(folder: str, generation: int) -> str:
    """Return the file of a generation."""
    return os.path.join(folder, f"{generation:04d}.jsonl")


def read_manifest(folder: str) -> Manifest:
    """Read every generation in a manifest's folder. What cannot be read becomes a problem, not an error."""
    manifest = Manifest()
    parsed: dict[bytes, ManifestEntry] = {}
    for generation in generation_numbers(folder):
        path = generation_path(folder, generation)
        try:
            lines = _lines(path)
            header = _header(path, lines)
        except StoreError as error:
            manifest.problems.append(error.message)
            continue
        manifest.headers[generation] = header
        _list(manifest, path, header, lines[1:], parsed)
    return manifest


def _list(
    manifest: Manifest, path: str, header: ManifestHeader, lines: list[bytes], parsed: dict[bytes, ManifestEntry]
) -> None:
    """Enter the lines of one generation."""
    generation = header.generation
    retried = generation if header.why == "retry" else 0
    submitted = generation - retried
    run_ids: list[str] = []
    listed = manifest.listed
    for number, line in enumerate(lines, 2):
        entry = parsed.get(line)
        if entry is None:
            try:
                entry = parsed[line] = _entry(path, number, line)
            except StoreError as error:
                manifest.problems.append(error.message)
                continue
        run_ids.append(entry.run_id)
        known = listed.get(entry.run_id)
        if known is None:
            listed[entry.run_id] = ListedRun(entry=entry, generation=generation, retried=retried, submitted=submitted)
        else:
            known.entry, known.generation = entry, generation
            known.retried, known.submitted = max(retried, known.retried), max(submitted, known.submitted)
    manifest.run_ids[generation] = tuple(run_ids)


def read_header(folder: str, generation: int) -> ManifestHeader:
    """Return the first line of a generation.

    Raises:
        StoreError: Where it cannot be read; the message names the file.
    """
    path = generation_path(folder, generation)
    return _header(path, _lines(path))


def read_entries(folder: str, generation: int) -> list[ManifestEntry]:
    """Return the runs of a generation.

    Raises:
        StoreError: Where a line cannot be read; the message names the file and the line.
    """
    path = generation_path(folder, generation)
    return [_entry(path, number, line) for number, line in enumerate(_lines(path)[1:], 2)]


def find_entry(folder: str, generation: int, run_id: str) -> ManifestEntry:
    """Return the line of one run of a generation, without parsing the others.

    Raises:
        StoreError: Where there is none.
    """
    path = generation_path(folder, generation)
    label = json.dumps(run_id).encode()
    for number, line in enumerate(_lines(path)[1:], 2):
        if label in line:
            entry = _entry(path, number, line)
            if entry.run_id == run_id:
                return entry
    raise StoreError(f"{path}: lists no run {run_id}")


def freeze(folder: str, header: ManifestHeader, entries: Sequence[ManifestEntry]) -> int | None:
    """Add a generation: whole, durable, and never changed again.

    Args:
        folder: The manifest's folder.
        header: Its first line, whose `generation` is the number after the newest.
        entries: Its runs.

    Returns:
        Its number; None where somebody else added a generation of this number first.

    Raises:
        StoreError: Where it cannot be written.
    """
    lines = [json.dumps(to_json(header), sort_keys=True)]
    lines += [entry_line(entry) for entry in entries]
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise store_error(error, f"make {folder}") from error
    fault_point("freeze.before")
    if not create_file(generation_path(folder, header.generation), ("\n".join(lines) + "\n").encode()):
        return None
    fault_point("freeze.after")
    return header.generation


def entry_line(entry: ManifestEntry) -> str:
    """Return the line of a run."""
    plain: dict[str, object] = {
        "experiment": entry.experiment,
        "resources": entry.resources.to_json(),
        "run_id": entry.run_id,
        "seed": entry.seed,
        "settings": entry.settings,
    }
    # Only where there are any: the line of a run that has to do with no other is as it was before there were these.
    plain |= {name: tokens for name, tokens in (("after", entry.after), ("gives", entry.gives)) if tokens}
    return json.dumps(plain, sort_keys=True)


def same_but_for_time(one: ManifestHeader, other: ManifestHeader) -> bool:
    """Say whether two headers ask for the same execution: all but the number, the cause and the time are equal."""
    return replace(one, generation=0, why="", created=0.0) == replace(other, generation=0, why="", created=0.0)


def _lines(path: str) -> list[bytes]:
    try:
        data = read_bytes(path)
    except OSError as error:
        raise store_error(error, f"read {path}") from error
    if not data.endswith(b"\n"):
        raise StoreError(f"{path}: its end is missing", hint="type the sweep's command again: it writes a new one")
    return data[:-1].split(b"\n")


def _header(path: str, lines: list[bytes]) -> ManifestHeader:
    return from_json(ManifestHeader, _parse(path, 1, lines[0]), f"{path}: line 1")


def _entry(path: str, number: int, line: bytes) -> ManifestEntry:
    return from_json(ManifestEntry, _parse(path, number, line), f"{path}: line {number}")


def _parse(path: str, number: int, line: bytes) -> object:
    try:
        return json.loads(line)
    except ValueError as error:
        raise StoreError(f"{path}: line {number}: not JSON: {error}") from error
