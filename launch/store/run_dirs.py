"""Making run directories: each appears whole, and making them again changes nothing."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from launch.errors import StoreError
from launch.store.files import CONFIG, RUN, fault_point, read_bytes, replace_file, store_error, write_file
from launch.store.manifest import Manifest
from launch.store.processes import host, is_alive, start_time
from launch.store.record_json import from_json, to_json
from launch.store.records import RunRecord
from launch.store.run_result import has_result

_NEW = ".new-"


class PlannedRun(Protocol):
    """A run that is ready to be stored."""

    @property
    def record(self) -> RunRecord:
        """What it is."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """What tells it from the sweep's other runs, as its line in the manifest has it."""
        ...

    def config_text(self) -> str:
        """Return its config as YAML."""
        ...


@dataclass(frozen=True, kw_only=True)
class RepairedFile:
    """A file of a run that the plan replaced.

    Attributes:
        run_id: Which run.
        file: Its path.
        before: What stood there; None where it was missing or could not be read.
        after: What stands there now.
    """

    run_id: str
    file: str
    before: str | None
    after: str


@dataclass(frozen=True, kw_only=True)
class ChangedIdentity:
    """A run that an earlier generation lists with the same settings under another identity: its config changed.

    Attributes:
        run_id: Its identity today.
        earlier: Its identity then.
    """

    run_id: str
    earlier: str


@dataclass(kw_only=True)
class WriteReport:
    """What planning did.

    Attributes:
        created: Runs whose directories it made.
        existing: Runs whose directories were there.
        rewritten: Files that could not be read and were written again, and configs whose keys outside the
            science follow today's.
        moved: Runs whose config resolves differently than in an earlier generation.
    """

    created: list[str] = field(default_factory=list[str])
    existing: list[str] = field(default_factory=list[str])
    rewritten: list[RepairedFile] = field(default_factory=list[RepairedFile])
    moved: list[ChangedIdentity] = field(default_factory=list[ChangedIdentity])


class RunDirWriter:
    """Makes the run directories of one sweep.

    Args:
        folder: `runs/<sweep>`.
        manifest: What is listed already.
        dry: Whether only to say what would be done.
    """

    def __init__(self, folder: str, manifest: Manifest, *, dry: bool = False) -> None:
        self._folder = folder
        self._listed = manifest.listed
        self._earlier = {
            _point(one.entry.experiment, one.entry.settings, one.entry.seed): run_id
            for run_id, one in manifest.listed.items()
        }
        self._dry = dry
        self._new = os.path.join(folder, f"{_NEW}{host()}-{os.getpid()}-{start_time(os.getpid())}")

    def write(self, runs: Iterable[PlannedRun]) -> WriteReport:
        """Make the directories of runs, as far as they are missing.

        Raises:
            StoreError: Where a directory cannot be written, or belongs to a run of another science.
        """
        report = WriteReport()
        try:
            if not self._dry:
                os.makedirs(self._folder, exist_ok=True)
                self._remove_leftovers()
            for run in runs:
                self._place(run, report)
        except OSError as error:
            shutil.rmtree(self._new, ignore_errors=True)
            raise store_error(error, f"write {error.filename or self._folder}") from error
        return report

    def _remove_leftovers(self) -> None:
        """Remove what planners of this machine left that died in the middle of a run."""
        own = f"{_NEW}{host()}-"
        for name in os.listdir(self._folder):
            if name.startswith(own):
                pid, _, start = name[len(own) :].partition("-")
                if not (pid.isdigit() and start.isdigit() and is_alive(int(pid), int(start))):
                    shutil.rmtree(os.path.join(self._folder, name), ignore_errors=True)

    def _place(self, run: PlannedRun, report: WriteReport) -> None:
        record = run.record
        if record.run_id not in self._listed:
            earlier = self._earlier.get(_point(record.experiment, run.settings, record.seed))
            if earlier is not None:
                report.moved.append(ChangedIdentity(run_id=record.run_id, earlier=earlier))
        run_dir = f"{self._folder}/{record.run_id}"
        if os.path.isdir(run_dir) or not self._create(run_dir, run):
            self._check(run_dir, run, report)
            report.existing.append(record.run_id)
        else:
            report.created.append(record.run_id)

    def _create(self, run_dir: str, run: PlannedRun) -> bool:
        """Make a run directory; return whether this call did."""
        if self._dry:
            return True
        # Not made to survive a power cut, which would cost a thousand runs seconds: what is lost is planned again.
        os.mkdir(self._new)
        write_file(f"{self._new}/{RUN}", _encode(run.record))
        write_file(f"{self._new}/{CONFIG}", run.config_text().encode())
        fault_point("plan.written")
        try:
            os.rename(self._new, run_dir)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            shutil.rmtree(self._new)
            return False
        fault_point("plan.placed")
        return True

    def _check(self, run_dir: str, run: PlannedRun, report: WriteReport) -> None:
        """Hold a run directory that is there against what it must hold, and mend what can be derived."""
        record, config = _encode(run.record), run.config_text().encode()
        file = f"{run_dir}/{RUN}"
        before = _read(file)
        if before != record and not self._same_run(file, before, run.record):
            self._rewrite(run.record.run_id, file, None, record, report)
        file = f"{run_dir}/{CONFIG}"
        before = _read(file)
        # Its science cannot differ: the identity is a hash of it. The other keys follow the user's last word as
        # long as it makes a difference; a wrong data folder would otherwise stay wrong for ever.
        if before != config and (before is None or not has_result(run_dir)):
            self._rewrite(run.record.run_id, file, before, config, report)

    def _same_run(self, file: str, before: bytes | None, record: RunRecord) -> bool:
        """Say whether `run.json` stands for the run; False where it cannot be read.

        Raises:
            StoreError: Where it stands for another run.
        """
        try:
            found = from_json(RunRecord, json.loads(before or b""), file)
        except (ValueError, StoreError):
            return False
        if found.science_hash != record.science_hash:
            raise StoreError(
                f"{file}: the run {record.run_id} has the science hash {record.science_hash}, and this directory "
                f"belongs to {found.science_hash}",
                hint="two configs share the eight digits of the name; move one of them to a sweep of another name",
            )
        return found.command == record.command

    def _rewrite(self, run_id: str, file: str, before: bytes | None, after: bytes, report: WriteReport) -> None:
        text = None if before is None else before.decode(errors="replace")
        report.rewritten.append(RepairedFile(run_id=run_id, file=file, before=text, after=after.decode()))
        if not self._dry:
            replace_file(file, after)


def _point(experiment: str, settings: dict[str, Any], seed: int) -> tuple[str, str, int]:
    return experiment, json.dumps(settings, sort_keys=True), seed


def _encode(record: RunRecord) -> bytes:
    return (json.dumps(to_json(record), indent=1, sort_keys=True) + "\n").encode()


def _read(file: str) -> bytes | None:
    try:
        return read_bytes(file)
    except FileNotFoundError:
        return None
