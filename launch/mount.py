"""What of the host a container sees, and where."""

from __future__ import annotations

import os
from dataclasses import dataclass

# Where an image keeps what makes it work, and the kernel its own files.
_RESERVED = ("/", "/bin", "/dev", "/etc", "/lib", "/lib64", "/opt/venv", "/proc", "/sbin", "/sys", "/usr")


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
    if target in _RESERVED or target.startswith(("/proc/", "/sys/", "/dev/")):
        raise ValueError(f"{target} belongs to the image")
    return Mount(source=source, target=target, writable=mode == "rw")
