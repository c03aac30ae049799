"""Make run directories: each appears complete in one step, and making it again changes nothing."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from launch.errors import StoreError
from launch.store.attempts import attempt_numbers, attempt_path, find_attempt, write_record
from launch.store.files import fault_point, read_bytes, replace_file, store_error, write_file
from launch.store.manifest import Manifest
from launch.store.processes import host, is_mark_alive, own_mark
from launch.store.record_json import encode, from_json
from launch.store.records import RunRecord, row_of
from launch.store.run_result import has_result
from s5.run_dir.json_file import parse_json
from s5.run_dir.result import CONFIG, LOCK, RUN

_NEW = ".new-"


class PlannedRun(Protocol):
    """A run that is ready to be stored."""

    @property
    def record(self) -> RunRecord:
        """The identity of the run."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that distinguish the run inside its sweep, as in its manifest entry."""
        ...

    def config_text(self) -> str:
        """Return the config of the run as YAML."""
        ...


class FileRepair(NamedTuple):
    """A file of a run that must be written again."""

    run_id: str
    file: str
    before: str | None  # the old content; None if the file is missing or cannot be read
    after: str  # the new content


class ChangedIdentity(NamedTuple):
    """A run whose id has changed since an earlier generation, though its settings are the same: its config changed."""

    run_id: str  # the id now
    earlier: str  # the id in the earlier generation


@dataclass(frozen=True, kw_only=True)
class RunDirPlan:
    """The files and directories that must be written so that all run directories are complete. Nothing is written yet.

    Attributes:
        missing: Runs without a directory, by id.
        repairs: Files that cannot be read, and configs that differ from today's in keys that do not change results.
        changed: Runs whose config gives another run id than in an earlier generation.
        reused: For runs without a directory, the directory of an equal run that has succeeded, to be copied.
    """

    missing: Mapping[str, PlannedRun]
    repairs: Sequence[FileRepair]
    changed: Sequence[ChangedIdentity]
    reused: Mapping[str, str] = field(default_factory=dict[str, str])


def plan_run_dirs(sweep: str, manifest: Manifest, runs: Iterable[PlannedRun]) -> RunDirPlan:
    """Compare runs with their directories. Writes nothing.

    Args:
        sweep: The sweep's folder, `runs/<sweep>`.
        manifest: The manifest of the sweep.
        runs: The runs that need directories.

    Raises:
        StoreError: If a directory cannot be read, or belongs to a run with another science hash.
    """
    missing: dict[str, PlannedRun] = {}
    repairs: list[FileRepair] = []
    changed: list[ChangedIdentity] = []
    known = {
        (row_of(one.entry.experiment, _plain(one.entry.settings)), one.entry.seed): run_id
        for run_id, one in manifest.listed.items()
    }
    for run in runs:
        run_id = run.record.run_id
        if run_id not in manifest.listed:
            earlier = known.get((row_of(run.record.experiment, _plain(run.settings)), run.record.seed))
            if earlier is not None:
                changed.append(ChangedIdentity(run_id=run_id, earlier=earlier))
        run_dir = f"{sweep}/{run_id}"
        if os.path.isdir(run_dir):
            repairs += _find_repairs(run_dir, run)
        else:
            missing[run_id] = run
    return RunDirPlan(missing=missing, repairs=repairs, changed=changed)


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in which equal numbers are written alike: 1 for 1.0."""
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() else value for key, value in settings.items()
    }


def write_run_dirs(sweep: str, plan: RunDirPlan) -> None:
    """Make the directories that are missing, and write the repairs. Doing this twice changes nothing.

    Raises:
        StoreError: If a directory cannot be written, or belongs to a run with another science hash.
    """
    new = os.path.join(sweep, f"{_NEW}{host()}-{own_mark()}")
    repairs = list(plan.repairs)
    try:
        os.makedirs(sweep, exist_ok=True)
        _remove_leftovers(sweep)
        for run_id, run in plan.missing.items():
            if not _create(f"{sweep}/{run_id}", run, new, plan.reused.get(run_id)):
                repairs += _find_repairs(f"{sweep}/{run_id}", run)  # another process made it meanwhile
        for repair in repairs:
            replace_file(repair.file, repair.after.encode())
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise store_error(error, f"write {error.filename or sweep}") from error


def _remove_leftovers(sweep: str) -> None:
    """Remove the unfinished directories of processes of this machine that have died."""
    own = f"{_NEW}{host()}-"
    for name in os.listdir(sweep):
        if name.startswith(own) and not is_mark_alive(name[len(own) :]):
            shutil.rmtree(os.path.join(sweep, name), ignore_errors=True)


def _create(run_dir: str, run: PlannedRun, new: str, reused: str | None) -> bool:
    """Make a run directory in `new` and rename it into place; return whether this call made it.

    If `reused` is the directory of an equal run, everything is copied from there but the id.
    """
    # Not synced to the disk: that would take seconds for a thousand runs, and a lost file is written again.
    if reused is None:
        os.mkdir(new)
        write_file(f"{new}/{CONFIG}", run.config_text().encode())
    else:
        shutil.copytree(reused, new, symlinks=True, ignore=shutil.ignore_patterns(".*"), copy_function=_link_or_copy)
        _mark_copies(new, reused)
        os.unlink(f"{new}/{RUN}")
    write_file(f"{new}/{RUN}", encode(run.record))
    fault_point("plan.written")
    try:
        os.rename(new, run_dir)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        shutil.rmtree(new)
        return False
    fault_point("plan.placed")
    return True


def _link_or_copy(source: str, target: str) -> None:
    """Make a second name of a file of a run that has succeeded: such files are replaced, but not changed."""
    if os.path.basename(source) != LOCK:  # two attempts must not share a lock
        with suppress(OSError):
            os.link(source, target)
            return
    shutil.copy2(source, target)


def _mark_copies(run_dir: str, reused: str) -> None:
    """Record in the attempts of a copied run where they were executed."""
    origin = "/".join(reused.rsplit("/", 2)[-2:])
    for number in attempt_numbers(run_dir):
        path = attempt_path(run_dir, number)
        if (record := find_attempt(path)) is not None:
            write_record(path, replace(record, generation=0, reused_from=record.reused_from or origin))


def _find_repairs(run_dir: str, run: PlannedRun) -> Iterator[FileRepair]:
    """Yield a repair for each file of a run directory that is missing, unreadable or out of date."""
    run_id, record, config = run.record.run_id, encode(run.record), run.config_text().encode()
    file = f"{run_dir}/{RUN}"
    before = _read(file)
    if before != record and not _is_same_run(file, before, run.record):
        yield FileRepair(run_id=run_id, file=file, before=None, after=record.decode())
    file = f"{run_dir}/{CONFIG}"
    before = _read(file)
    # Keys that change results cannot differ: the run id is a hash of them. The other keys follow the newest submission
    # until there is a result; else a wrong data folder would stay wrong for ever.
    if before is None or not (same_config(before, config) or has_result(run_dir)):
        text = None if before is None else before.decode(errors="replace")
        yield FileRepair(run_id=run_id, file=file, before=text, after=config.decode())


def _is_same_run(file: str, before: bytes | None, record: RunRecord) -> bool:
    """Return whether `run.json` describes the run; False if it cannot be read.

    Raises:
        StoreError: If it describes another run.
    """
    try:
        found = from_json(RunRecord, parse_json(before or b""), file)
    except (ValueError, StoreError):
        return False
    if found.science_hash != record.science_hash:
        raise StoreError(
            f"{file}: the run {record.run_id} has the science hash {record.science_hash}, but this directory "
            f"belongs to a run with {found.science_hash}",
            hint="two run ids end with the same eight digits by chance; put one run into a sweep of another name",
        )
    return found.command == record.command


def same_config(one: bytes, other: bytes) -> bool:
    """Return whether two texts of `config.yaml` have the same lines: older versions wrote the keys in another order."""
    return one == other or sorted(one.splitlines()) == sorted(other.splitlines())


def _read(file: str) -> bytes | None:
    try:
        return read_bytes(file)
    except FileNotFoundError:
        return None
