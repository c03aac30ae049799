"""The folders of the host that containers see: mounts that the user asks for, and mounts that every run needs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from launch.actions.link_mounts import mounts_of_links
from launch.errors import LaunchError
from launch.profiles.profile import Profile
from launch.specs.choices import BackendName
from launch.specs.mount import Mount, lies_in, parse_mount
from s5.catalog import CATALOG, cache_folder, data_root

# JAX also stores compiled programs in this folder, so that the runs of a sweep share them.
_CACHE = "s5-launch"
_HINT = "mount it at another path: SRC:DST"


def requested_mounts(words: Sequence[str], profile: Profile) -> list[tuple[str, Mount]]:
    """Return the mounts that the user asks for, each with the place that asks: the profile's file, or `--mount`.

    Args:
        words: The mounts on the command line: `SRC[:DST][:rw]` each.
        profile: The profile, which may name other mounts.

    Raises:
        LaunchError: If a word is not a valid mount.
    """
    requested = [(f"{profile.file or profile.name}: mounts", mount) for mount in profile.mounts]
    for word in words:
        try:
            requested.append(("--mount", parse_mount(word)))
        except ValueError as error:
            raise LaunchError(f"--mount {word}: {error}", hint="SRC[:DST][:rw], such as ~/corpora:/corpora") from error
    return requested


def check_mounts(
    requested: Sequence[tuple[str, Mount]], root: Path, profile: Profile, runtime: str
) -> tuple[list[Mount], list[str]]:
    """Return the mounts without duplicates, and warnings about them.

    Args:
        requested: The mounts, each with the place that asks for it.
        root: The folder of all run directories.
        profile: The profile that the runs execute with.
        runtime: The runtime of their containers.

    Raises:
        LaunchError: If a source is missing on this machine, two mounts have the same target, or a mount hides the runs.
    """
    found: dict[str, Mount] = {}
    warnings: list[str] = []
    runs = str(root.absolute())
    for where, mount in requested:
        message = f"{where}: {mount.source}: no such file or folder"
        if not os.path.exists(mount.source):
            if profile.backend == BackendName.LOCAL:
                raise LaunchError(message, hint="make it, or remove the mount; its target is " + mount.target)
            warnings.append(f"{message} on this machine; the nodes of {profile.name} must have it")
        if runtime == "charliecloud" and not mount.writable:
            warnings.append(
                f"{where}: {mount.source} can be written in the container: charliecloud has no read-only mounts"
            )
        taken = found.setdefault(mount.target, mount)
        if taken != mount:
            raise LaunchError(
                f"{where}: {mount.source} and {taken.source} have the same mount point {mount.target}",
                hint="mount one of them at another path: SRC:DST",
            )
        if mount.source != mount.target and (lies_in(mount.target, runs) or lies_in(runs, mount.target)):
            raise LaunchError(f"{where}: {mount.target} overlaps the folder of the runs", hint=_HINT)
    return list(found.values()), warnings


def refuse_hidden(requested: Sequence[Mount], needed: Sequence[Mount]) -> None:
    """Raise if a mount hides a folder that every run needs, or has no mount point inside another mount.

    Raises:
        LaunchError: If a run would not find what it needs, or its runtime would not start it.
    """
    for mount in requested:
        if mount.source != mount.target and any(mount.target == other.target for other in needed):
            raise LaunchError(f"{mount.source}: the runs need their data or caches at {mount.target}", hint=_HINT)
    for outer in (*needed, *requested):
        for inner in (*needed, *requested):
            if not (outer in needed and inner in needed):
                _check_mount_point(outer, inner)


def _check_mount_point(outer: Mount, inner: Mount) -> None:
    """Raise if `inner` is mounted inside `outer` and its mount point is missing: a runtime would have to make it."""
    if outer.target == inner.target or not os.path.isdir(outer.source):
        return
    if not lies_in(inner.target, outer.target) or not os.path.exists(inner.source):
        return
    place = os.path.join(outer.source, os.path.relpath(inner.target, outer.target))
    if os.path.isdir(place) != os.path.isdir(inner.source) or not os.path.exists(place):
        kind = "folder" if os.path.isdir(inner.source) else "file"
        message = f"{inner.source} cannot be mounted at {inner.target}, inside {outer.source}"
        raise LaunchError(f"{message}: there is no {kind} {place}", hint=_HINT)


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a section of a config; empty without it, as in the config of a program with its own parameters."""
    section = config.get(name)
    return cast("Mapping[str, Any]", section) if isinstance(section, Mapping) else {}


def needed_mounts(configs: Iterable[Mapping[str, Any]]) -> tuple[list[Mount], list[Path]]:
    """Return the mounts that every run needs, and the caches among them, which must be made if they are missing.

    Args:
        configs: The runs' configurations; they name the data, plug-ins, and runs to start from. Missing folders are
            left out.

    Raises:
        LaunchError: If links in the data lead to too many places.
    """
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / _CACHE
    caches, roots, systems, plugins = {base: None}, dict[Path, None](), dict[Path, None](), dict[str, None]()
    for config in configs:
        train = _section(config, "train")
        for source in (train.get("init_from"), train.get("extend_from")):
            if source is not None and os.path.isabs(source):  # the runs of a block are in the sweep's folder
                roots[Path(source)] = None
        plugins.update(dict.fromkeys(map(str, config.get("plugins") or ())))  # the copies, which may not exist yet
        data = _section(config, "data")
        roots[data_root(data.get("root"))] = None
        caches[cache_folder(data.get("cache"))] = None
        for name in map(str, (data.get("name"), data.get("zero_shot"))):
            folders = CATALOG[name].system_folders if name in CATALOG else ()
            systems.update(dict.fromkeys(map(Path, folders)))
    found = [Mount(source=str(folder), target=str(folder), writable=True) for folder in caches]
    found += [Mount(source=folder, target=folder) for folder in plugins if os.path.isabs(folder)]
    for folder in (*roots, *systems):
        if folder.is_dir():
            place = os.path.normpath(folder)
            found += [Mount(source=place, target=place), *mounts_of_links(place)]
    return list({mount.target: mount for mount in reversed(found)}.values())[::-1], list(caches)
