"""The mounts that links in folders of data need, so that a container can follow the links as the host can.

Data that git-annex, DVC or the caches of model hubs manage consist of links, at any depth, to files elsewhere.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import PurePath

from launch.errors import LaunchError
from launch.specs.mount import Mount, lies_in

_MOST_ENTRIES = 200_000  # the most links and folders that are looked at, in about a second
_MOST_MOUNTS = 32  # more of them slow down the start of every container


def mounts_of_links(folder: str) -> list[Mount]:
    """Return the mounts that the links in a folder need, if the container sees the folder at the same path.

    If there are many, the folders that contain the targets are mounted, or else one folder that contains them all.

    Args:
        folder: The folder; absolute and normalized.

    Raises:
        LaunchError: If the links lead to too many places; the message has one of the links.
    """
    found: dict[str, tuple[str, str]] = {}  # by target: the source on the host, and the link
    for link, target, source in _links(folder):
        found.setdefault(target, (source, link))
    mounts = {target: source for target, (source, _) in found.items()}
    if len(mounts) > _MOST_MOUNTS:
        mounts = _by_folder(mounts)
    if len(mounts) > _MOST_MOUNTS:
        common = os.path.commonpath(mounts)
        if mounts != {target: target for target in mounts} or not _may_be_mounted(common):
            target, (_, link) = next(iter(found.items()))
            raise LaunchError(
                f"{link} links to {target}, and other links in {folder} to {len(mounts)} further folders: too many for "
                "a container",
                hint=f"mount the folder that contains them all: --mount {common}",
            )
        mounts = {common: common}
    return [Mount(source=source, target=target) for target, source in mounts.items()]


def _links(folder: str) -> Iterator[tuple[str, str, str]]:
    """Yield the links in a folder that lead out of it, and those in the folders that they lead to.

    A link is yielded as its path in the container, the path that it leads to there, and the target on the host. Both
    paths differ if a part of `folder` is a link itself: the container has a plain folder in its place.
    """
    seen: set[str] = set()
    places = deque([(folder, folder)])  # folders as the container sees them and as the host does
    roots = {folder}
    left = _MOST_ENTRIES
    while places and left > 0:
        inside, outside = places.popleft()
        real = os.path.realpath(outside)
        if real in seen:
            continue
        seen.add(real)
        for name, is_link in _entries(real):
            left -= 1
            path, place = os.path.join(inside, name), os.path.join(real, name)
            if not is_link:
                places.append((path, place))
            elif os.path.exists(place):  # one that is broken here needs nothing
                target = os.path.normpath(os.path.join(inside, os.readlink(place)))
                if roots.isdisjoint(_and_parents(target)):
                    source = os.path.realpath(place)
                    yield path, target, source
                    if os.path.isdir(source):
                        roots.add(target)
                        places.append((target, source))


def _and_parents(path: str) -> list[str]:
    return [path, *map(str, PurePath(path).parents)]


def _entries(folder: str) -> list[tuple[str, bool]]:
    """Return the names of the links and folders in a folder, and whether each is a link."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                (entry.name, entry.is_symlink())
                for entry in entries
                if entry.is_symlink() or entry.is_dir(follow_symlinks=False)
            )
    except OSError:
        return []  # a folder that this user cannot read; the run cannot either


def _by_folder(mounts: dict[str, str]) -> dict[str, str]:
    """Return the mounts with the folder of several files in place of these files."""
    folders = Counter(os.path.dirname(target) for target, source in mounts.items() if target == source)
    merged: dict[str, str] = {}
    for target, source in mounts.items():
        folder = os.path.dirname(target)
        if target == source and folders[folder] > 1 and _may_be_mounted(folder):
            merged[folder] = folder
        else:
            merged[target] = source
    return merged


def _may_be_mounted(folder: str) -> bool:
    """Return whether a folder is small enough to be mounted as a whole: not `/`, `/data` or a home folder."""
    home = os.path.realpath(os.path.expanduser("~"))
    return folder.count("/") > 1 and not lies_in(home, folder)
