"""The files and folders of the host that a container sees, and where."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

# An image needs these places to work, or the kernel has its own files there: nothing is mounted in them.
_RESERVED = (
    *("/bin", "/dev", "/etc", "/lib", "/lib64", "/opt/s5-launch", "/opt/venv", "/proc", "/sbin", "/sys", "/usr"),
    "/usr/local/lib",
)
# To add a folder in one of these does no harm.
_OPEN = ("/usr/local/", "/usr/share/")
_PROGRAMS = "/usr/local/bin"
_TEMPORARY = "/tmp"


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A file or folder of the host inside a container.

    The launcher's own mounts have the same path inside and outside, so a path in a run's config holds in both.

    Attributes:
        source: On the host, absolute.
        target: Inside, absolute.
        writable: Whether it may be written.
    """

    source: str
    target: str
    writable: bool = False


def parse_mount(text: str) -> Mount:
    """Return the mount that `SRC[:DST][:rw]` or `SRC[:DST][:ro]` describes; without DST it has the same path inside.

    `~` is this user's home.

    Raises:
        ValueError: If it does not describe one. It does not check that SRC exists.
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
        raise ValueError(f"{target} is for a run's own temporary files")
    return Mount(source=source, target=target, writable=mode == "rw")


def _hides_image(target: str) -> bool:
    """Return whether a mount at a place would hide something that the image needs."""
    if any(lies_in(place, target) for place in (*_RESERVED, _PROGRAMS)):
        return True
    within = [place for place in _RESERVED if lies_in(target, place)]
    return bool(within) and (within != ["/usr"] or not target.startswith(_OPEN))


def lies_in(path: str, folder: str) -> bool:
    """Return whether a path is a folder or lies below it; both are absolute and normal."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def outermost_first(mounts: Iterable[Mount]) -> tuple[Mount, ...]:
    """Return mounts in an order in which none hides another: a later mount hides earlier ones below it."""
    return tuple(sorted(mounts, key=lambda mount: mount.target.rstrip("/").count("/")))
