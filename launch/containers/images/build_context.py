"""The context of a build: the folder with the Dockerfile, locks, code, and wheels for a build without network.

The folder is kept for the next build with the times of its files, so that an engine gets only the changed files.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from launch.containers.images.catalog import ImageSpec
from launch.errors import LaunchError, printable
from launch.store.source_files import find_source_files

LOCK = "image.txt"  # the name of the image's lock in the context
CODE = ("launch", "s5")
_KEPT = "s5-launch-builds"  # in the user's cache
_LICENSE = "LICENSE"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)([^\n]*)", re.MULTILINE)
_SHOWN = 4


@contextmanager
def context_folder(name: str, *, keep: bool) -> Generator[Path]:
    """Yield the folder of a build's context: with `keep`, one that stays for the next build if it is free."""
    held = _lock_context(name) if keep else None
    if held is None:
        with TemporaryDirectory(prefix="launch-context-") as folder:
            yield Path(folder)
        return
    folder, lock = held
    try:
        yield folder
    finally:
        os.close(lock)


def _lock_context(name: str) -> tuple[Path, int] | None:
    """Return an image's context folder and its lock; None if another build uses the folder or it cannot be made."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / _KEPT / name
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (OSError, RuntimeError):  # RuntimeError: this user has no home
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        own = os.access(folder, os.W_OK)
    except OSError:
        own = False
    if not own:
        os.close(lock)
        return None
    return folder, lock  # no other build writes to this folder until the lock is closed


def stage(spec: ImageSpec, source: Path, folder: Path, wheels: Path | None = None) -> tuple[str, ...]:
    """Write the files of a build's context; files that are already right are not written again.

    The layout is that of the repository, so that the Dockerfile works in both; modes do not depend on the umask.

    Args:
        spec: The image.
        source: The folder with the code.
        folder: An empty folder, or the context of an earlier build.
        wheels: A folder with all packages of the lock; None if the build may use the network.

    Returns:
        One line for each file of the code that was left out.

    Raises:
        LaunchError: If the code, the lock or a wheel is missing, or the folder cannot be used.
    """
    docker = folder / "docker"
    wanted = {docker / "Dockerfile": spec.dockerfile, folder / _LICENSE: source / _LICENSE}
    wanted |= {docker / "locks" / spec.build_lock.name: spec.build_lock, docker / "locks" / LOCK: spec.lock}
    files, notices = find_source_files(source, source / "runs")
    code = [file for file in files if file.path.split("/")[0] in CODE and file.link is None]
    wanted |= {folder / file.path: source / file.path for file in code}
    for name in CODE:
        if not any(file.path.startswith(f"{name}/") for file in code):
            raise LaunchError(f"{printable(str(source / name))}: it does not exist, and images hold a copy of it")
    folders = {folder, docker / "wheels"}
    for file in wanted:
        folders.update(above for above in file.parents if folder in above.parents)
    _make_room(folder, set(wanted), folders)
    executable = {folder / file.path for file in code if file.executable}
    for target, original in wanted.items():
        _copy(original, target, 0o755 if target in executable else 0o644)
    if wheels is not None:
        _stage_wheels(spec, wheels, docker / "wheels")
    return tuple(notice for notice in notices if notice.startswith(CODE))


def _make_room(folder: Path, files: set[Path], folders: set[Path]) -> None:
    """Make the folders for a build's files, and remove files that only an earlier build needed."""
    try:
        _clear(folder, files, folders)
        for path in sorted(folders):
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(0o755)
    except OSError as error:
        message = f"{printable(str(error.filename))}: cannot be used: {error.strerror}"
        raise LaunchError(message, hint=f"remove {printable(str(folder))}; it is made again") from error


def _clear(folder: Path, files: set[Path], folders: set[Path]) -> None:
    """Remove the files and folders that do not belong to this build."""
    for path in folder.iterdir():
        if path.is_symlink() or not path.is_dir():
            if path.is_symlink() or path not in files:
                path.unlink()
        elif path in folders:
            _clear(path, files, folders)
        else:
            shutil.rmtree(path)


def _copy(source: Path, target: Path, mode: int) -> None:
    """Copy a file. A target with the same content keeps its time, which tells the engine that it has not changed."""
    try:
        content = source.read_bytes()
    except OSError as error:
        raise LaunchError(f"{printable(str(source))}: cannot be read: {error.strerror}") from error
    try:
        if not target.exists() or target.read_bytes() != content:
            target.write_bytes(content)
        target.chmod(mode)
    except OSError as error:
        raise LaunchError(f"{printable(str(target))}: cannot be written: {error.strerror}") from error


def _stage_wheels(spec: ImageSpec, wheels: Path, target: Path) -> None:
    shown = printable(str(wheels))
    how = f"`pip download --no-deps --require-hashes -r {spec.build_lock.name} -r {spec.lock.name} -d {shown}`"
    try:
        found = sorted(path for path in wheels.iterdir() if path.name.endswith((".whl", ".tar.gz", ".zip")))
    except OSError as error:
        raise LaunchError(f"{shown}: {error.strerror}", hint=f"on a machine with a network: {how}") from error
    missing = list(_missing((spec.build_lock, spec.lock), found))
    if missing:
        names = ", ".join(missing[:_SHOWN])
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise LaunchError(
            f"{shown}: these packages are missing: {names}{more}", hint=f"on a machine with a network: {how}"
        )
    for path in found:
        try:
            os.link(path, target / path.name)
        except OSError:  # the file is on another file system, or belongs to another user
            shutil.copyfile(path, target / path.name)


def _missing(locks: tuple[Path, ...], files: list[Path]) -> Iterator[str]:
    """Yield the packages in the locks for which there is no file; packages for some machines only are left out."""
    for name, version, marker in (pin for lock in locks for pin in _PIN.findall(lock.read_text())):
        start = re.compile(rf"{re.sub(r'[-_.]+', '[-_.]+', name)}-{re.escape(version)}[-.]", re.IGNORECASE)
        if ";" not in marker and not any(start.match(path.name) for path in files):
            yield f"{name}=={version}"
