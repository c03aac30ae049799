"""What a build sees: the recipe, the locks, the code as a snapshot holds it, and wheels where there is no network."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from launch.errors import LaunchError
from launch.images.catalog import ImageSpec
from launch.source_files import find_source_files
from launch.yaml_file import printable

LOCK = "image.txt"  # the lock's name inside
CODE = ("launch", "s5")
_LICENSE = "LICENSE"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)([^\n]*)", re.MULTILINE)
_SHOWN = 4


def stage(spec: ImageSpec, source: Path, folder: Path, wheels: Path | None = None) -> tuple[str, ...]:
    """Write what a build sees.

    It is laid out as the repository is, so that the recipe also works there; modes depend on nobody's umask.

    Args:
        spec: The image.
        source: The folder that holds the code.
        folder: An empty one.
        wheels: Where every package of the lock lies; None where the build may use the network.

    Returns:
        What was left out of the code, a line each.

    Raises:
        LaunchError: Where the code, the lock or a wheel is missing.
    """
    docker = folder / "docker"
    for name in ("locks", "wheels"):
        (docker / name).mkdir(parents=True)
    _copy(spec.dockerfile, docker / "Dockerfile")
    _copy(spec.build_lock, docker / "locks" / spec.build_lock.name)
    _copy(spec.lock, docker / "locks" / LOCK)
    if wheels is not None:
        _stage_wheels(spec, wheels, docker / "wheels")
    files, notices = find_source_files(source, source / "runs")
    for file in files:
        if file.path.split("/")[0] in CODE and file.link is None:
            _copy(source / file.path, folder / file.path, executable=file.executable)
    for name in CODE:
        if not (folder / name).exists():
            raise LaunchError(f"{printable(str(source / name))}: not there, and images hold a copy of it")
    _copy(source / _LICENSE, folder / _LICENSE)
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    return tuple(notice for notice in notices if notice.startswith(CODE))


def _copy(source: Path, target: Path, *, executable: bool = False) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise LaunchError(f"{printable(str(source))}: cannot be read: {error.strerror}") from error
    target.chmod(0o755 if executable else 0o644)


def _stage_wheels(spec: ImageSpec, wheels: Path, target: Path) -> None:
    shown = printable(str(wheels))
    how = f"`pip download --no-deps --require-hashes -r {spec.build_lock.name} -r {spec.lock.name} -d {shown}`"
    try:
        found = sorted(path for path in wheels.iterdir() if path.name.endswith((".whl", ".tar.gz", ".zip")))
    except OSError as error:
        raise LaunchError(f"{shown}: {error.strerror}", hint=f"where there is a network: {how}") from error
    missing = [pin for lock in (spec.build_lock, spec.lock) for pin in _pins(lock) if not _has(pin, found)]
    if missing:
        names = ", ".join("==".join(pin) for pin in missing[:_SHOWN])
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise LaunchError(f"{shown}: nothing here of {names}{more}", hint=f"where there is a network: {how}")
    for path in found:
        try:
            os.link(path, target / path.name)
        except OSError:  # another file system, or another's file
            shutil.copyfile(path, target / path.name)


def _pins(lock: Path) -> list[tuple[str, str]]:
    """Return the packages of a lock that every machine needs."""
    return [(name, version) for name, version, rest in _PIN.findall(lock.read_text()) if ";" not in rest]


def _has(pin: tuple[str, str], files: list[Path]) -> bool:
    name, version = pin
    start = re.compile(rf"{re.sub(r'[-_.]+', '[-_.]+', name)}-{re.escape(version)}[-.]", re.IGNORECASE)
    return any(start.match(path.name) for path in files)
