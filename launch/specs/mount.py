"""What of the host a container sees, and where."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

# Where an image keeps what makes it work, and the kernel its own files: nothing is mounted there, or below.
_RESERVED = (
    *("/bin", "/dev", "/etc", "/lib", "/lib64", "/opt/s5-launch", "/opt/venv", "/proc", "/sbin", "/sys", "/usr"),
    "/usr/local/lib",
)
# Of these it does no harm to add to what lies there.
_OPEN = ("/usr/local/", "/usr/share/")
_PROGRAMS = "/usr/local/bin"
_TEMPORARY = "/tmp"


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A file or folder of the host inside a container.

    Ours lie at the same place inside as outside, so that every path in a run's configuration holds in both.

    Attributes:
        source: On the host, absolute.
        target: Inside, absolute.
        writable: Whether it may be written.
    """

    source: str
    target: str
    writable: bool = False


def parse_mount(text: str) -> Mount:
    """Return the mount that `SRC[:DST][:rw]` or `SRC[:DST][:ro]` describes; without DST it is where it is outside.

    Args:
        text: As it stands in a profile or on the command line; `~` is this user's home.

    Raises:
        ValueError: Where it describes none. Whether SRC is there, nobody has looked.
    """
    *places, mode = text.split(":") if text.endswith((":rw", ":ro")) else (*text.split(":"), "ro")
    if not 1 <= len(places) <= 2 or not all(places) or not text.isprintable():
        raise ValueError("not a folder, or a folder and a place inside with a colon between")
    source = os.path.normpath(os.path.expanduser(places[0]))
    target = os.path.normpath(os.path.expanduser(places[-1]))
    for path in (source, target):
        if not os.path.isabs(path):
            raise ValueError(f"{path} is not absolute")
    if _hides_image(target):
        raise ValueError(f"{target} belongs to the image")
    if target == _TEMPORARY and source != target:
        raise ValueError(f"{target} is where a run keeps temporary files")
    return Mount(source=source, target=target, writable=mode == "rw")


def _hides_image(target: str) -> bool:
    """Say whether an image would lack something if another folder lay at a place."""
    if any(lies_in(place, target) for place in (*_RESERVED, _PROGRAMS)):
        return True
    within = [place for place in _RESERVED if lies_in(target, place)]
    return bool(within) and (within != ["/usr"] or not target.startswith(_OPEN))


def lies_in(path: str, folder: str) -> bool:
    """Say whether a path is a folder or lies below it; both are absolute and normal."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def outermost_first(mounts: Iterable[Mount]) -> tuple[Mount, ...]:
    """Return mounts in an order in which none covers another: what is mounted later covers what lies below it."""
    return tuple(sorted(mounts, key=lambda mount: mount.target.rstrip("/").count("/")))
