"""Snapshots: copies of the code, named by the hash of their content, so that later edits do not change an attempt."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from launch.errors import LaunchError
from launch.store.files import SNAPSHOTS, store_error, touch
from launch.store.source_files import SourceFile, find_commit, find_source_files

_TEMPORARY = ".tmp-"
_HASH_DIGITS = 32
# The code that this launcher was imported from.
OWN_CODE = Path(__file__).resolve().parents[2]

# How often copying starts again because a file changed meanwhile.
_TRIES = 5


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A copy of the code."""

    hash: str  # the hash of its paths, modes and contents
    path: Path  # its folder, which comes first on the Python path of a run
    files: int  # how many files it has
    bytes: int  # the sum of their sizes
    commit: str | None = None  # the git commit, with `-dirty` if files differ from it; None without git
    notices: tuple[str, ...] = ()  # the files that were left out and why, one line each


class _Changed(Exception):
    """A file changed between hashing and copying."""


def take_snapshot(source: Path, runs: Path) -> Snapshot:
    """Copy the code under `source` to `runs/.snapshots/<hash>`, unless that copy exists.

    The copy appears complete, in one step, even if another process makes the same copy. Its files are read-only. Its
    folders are writable, so that Python can cache compiled code in them; the hash does not include these files.

    Args:
        source: The folder that holds the packages; a git working tree or not.
        runs: The folder of all run directories.

    Raises:
        LaunchError: If the code is too large, changes while it is copied, or cannot be copied.
    """
    for _ in range(_TRIES):
        try:
            return _take(source, runs)
        except _Changed:
            continue
        except OSError as error:
            denied = error.errno == errno.EACCES and str(error.filename or "").startswith(os.fspath(runs))
            if denied or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise store_error(error, f"copy the code to {runs / SNAPSHOTS}") from error
            place = f"{error.filename}: " if error.filename else ""
            raise LaunchError(f"the code cannot be copied: {place}{error.strerror}") from error
    raise LaunchError(f"{source}: the files keep changing while they are copied", hint="try again in a moment")


def _take(source: Path, runs: Path) -> Snapshot:
    files, notices = find_source_files(source, runs)
    sums = [_sum_of(source, file) for file in files]
    identity = _identity(files, sums)
    path = runs / SNAPSHOTS / identity
    # The time is set to now, so that gc keeps the snapshot: the manifest of this sweep does not name it yet.
    if not (_is_whole(path, files) and touch(path)):
        _copy(source, path, files, sums)
    return Snapshot(
        hash=identity,
        path=path,
        files=len(files),
        bytes=sum(file.size for file in files),
        commit=find_commit(source),
        notices=tuple(notices),
    )


def _sum_of(source: Path, file: SourceFile) -> str:
    """Return the SHA-256 of a file's bytes, or of a link's target."""
    return hashlib.sha256(_read(source, file) if file.link is None else os.fsencode(file.link)).hexdigest()


def _read(source: Path, file: SourceFile) -> bytes:
    try:
        return (source / file.path).read_bytes()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise _Changed from error


def _identity(files: list[SourceFile], sums: list[str]) -> str:
    """Return the hash over paths, kinds and contents. JSON separates the fields whatever characters they contain."""
    entries = [
        [
            os.fsencode(file.path).hex(),
            "link" if file.link is not None else "exec" if file.executable else "file",
            total,
        ]
        for file, total in zip(files, sums, strict=True)
    ]
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()[:_HASH_DIGITS]


def _is_whole(path: Path, files: list[SourceFile]) -> bool:
    """Return whether a snapshot has every file with the right size: a crash of the machine may have emptied some."""
    try:
        return all(_is_there(os.lstat(path / file.path), file) for file in files)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _is_there(status: os.stat_result, file: SourceFile) -> bool:
    if file.link is not None:
        return True  # a link, or a copy if the file system has no links
    return stat.S_ISREG(status.st_mode) and status.st_size == file.size


def _copy(source: Path, path: Path, files: list[SourceFile], sums: list[str]) -> None:
    """Write the snapshot under a temporary name, then rename it in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{_TEMPORARY}{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        temporary.mkdir()
        for folder in sorted({os.path.dirname(file.path) for file in files}):
            (temporary / folder).mkdir(parents=True, exist_ok=True)
        # Links last: without links on the file system, the copies that they lead to are copied again.
        for file, total in sorted(zip(files, sums, strict=True), key=lambda pair: pair[0].link is not None):
            _copy_file(source, temporary, file, total)
        _move(temporary, path, files)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _copy_file(source: Path, target: Path, file: SourceFile, total: str) -> None:
    place = target / file.path
    if file.link is not None:
        _make_link(place, file.link)
        return
    content = _read(source, file)
    if hashlib.sha256(content).hexdigest() != total:
        raise _Changed
    mode = 0o555 if file.executable else 0o444
    # The user's umask decides whether the group may read the file.
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)


def _make_link(place: Path, target: str) -> None:
    """Make a symbolic link, or copy its target if the file system has no links, as exFAT has none."""
    try:
        os.symlink(target, place)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        found = place.parent / target
        if found.is_dir():
            shutil.copytree(found, place)
        elif found.exists():
            shutil.copyfile(found, place)
        else:
            place.touch()  # its target is not part of the snapshot


def _move(temporary: Path, path: Path, files: list[SourceFile]) -> None:
    """Rename `temporary` to `path`, unless a complete snapshot exists there; replace a damaged snapshot."""
    try:
        os.rename(temporary, path)
        return
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
    if _is_whole(path, files):
        return
    damaged = path.with_name(f"{temporary.name}-damaged")
    os.rename(path, damaged)
    with contextlib.suppress(FileExistsError):
        os.rename(temporary, path)
    shutil.rmtree(damaged, ignore_errors=True)
