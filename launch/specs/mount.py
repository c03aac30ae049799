"""Mounts: the files and folders of the host that a container sees."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

# Nothing may be mounted in these folders: the image needs its own files there, or the kernel has files there.
_RESERVED = (
    *("/bin", "/dev", "/etc", "/lib", "/lib64", "/opt/s5-launch", "/opt/venv", "/proc", "/sbin", "/sys", "/usr"),
    "/usr/local/lib",
)
# Below these folders a mount is allowed.
_OPEN = ("/usr/local/", "/usr/share/")
_PROGRAMS = "/usr/local/bin"
_TEMPORARY = "/tmp"


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A file or folder of the host inside a container.

    The launcher's own mounts have the same path in both, so that the paths in a run's config are valid in both.

    Attributes:
        source: The path on the host, absolute.
        target: The path in the container, absolute.
        writable: Whether the container may write to it.
    """

    source: str
    target: str
    writable: bool = False


def parse_mount(text: str) -> Mount:
    """Return the mount for a text `SRC[:DST][:rw]` or `SRC[:DST][:ro]`; without DST the target is SRC.

    `~` is this user's home. It is not checked whether SRC exists.

    Raises:
        ValueError: If the text has another form, a path is not absolute, or DST is not allowed.
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
    """Return whether a mount at `target` would hide files that the image needs."""
    if any(lies_in(place, target) for place in (*_RESERVED, _PROGRAMS)):
        return True
    within = [place for place in _RESERVED if lies_in(target, place)]
    return bool(within) and (within != ["/usr"] or not target.startswith(_OPEN))


def lies_in(path: str, folder: str) -> bool:
    """Return whether `path` is `folder` or inside it; both must be absolute and normalized."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def outermost_first(mounts: Iterable[Mount]) -> tuple[Mount, ...]:
    """Return the mounts with outer folders first, as a mount hides earlier mounts inside its folder."""
    return tuple(sorted(mounts, key=lambda mount: mount.target.rstrip("/").count("/")))
