"""Pass the W&B key into a container: in a file that only this user can read, deleted at the end of the attempt.

Every user of the engine can read the variables of a container, and every user of the machine can read its command
line. So the key is in a file in the format of `~/.netrc`, outside the run directory.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from launch.errors import StoreError
from launch.store import processes

NETRC_VARIABLE = "NETRC"
KEY_VARIABLE = "WANDB_API_KEY"

_HOST = "api.wandb.ai"
_NAME = "netrc"
# Matches `config.yaml` as this launcher writes it: loading a YAML parser would slow down the start of a supervisor.
_MODE = re.compile(r"^wandb:\n(?:  .*\n)*?  mode: (\w+)$", re.MULTILINE)


def wandb_mode(config: str) -> str:
    """Return the `wandb.mode` in a config file; `disabled` if the file cannot be read or has no mode."""
    with suppress(OSError), open(config) as file:
        found = _MODE.search(file.read())
        return found[1] if found else "disabled"
    return "disabled"


def write_netrc(environment: Mapping[str, str]) -> str | None:
    """Write this user's key to a file and return the file; None if the user has no key.

    Args:
        environment: The variables. The key is in `$WANDB_API_KEY`, else in the file `$NETRC`, else in `~/.netrc`.

    Raises:
        StoreError: If the folder for keys belongs to another user.
        OSError: If the file cannot be written.
    """
    host, key = find_key(environment)
    if not key or not key.isprintable() or " " in key:
        return None
    folder = _own_folder(make=True)
    path = os.path.join(folder, f"{_NAME}-{processes.own_mark()}")
    with suppress(FileNotFoundError):
        os.unlink(path)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, f"machine {host}\n  login user\n  password {key}\n".encode())
    finally:
        os.close(fd)
    return path


def find_key(environment: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the host of W&B and this user's key for it; None if the user has no key."""
    host = urlsplit(environment.get("WANDB_BASE_URL", "")).hostname or _HOST
    return host, environment.get(KEY_VARIABLE) or _stored_key(environment, host)


def _stored_key(environment: Mapping[str, str], host: str) -> str | None:
    import netrc

    file = environment.get(NETRC_VARIABLE) or os.path.expanduser("~/.netrc")
    try:
        found = netrc.netrc(file).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None
    return found[2] if found else None


def remove_left_keys() -> None:
    """Delete the key files of supervisors that were killed.

    Raises:
        StoreError: If the folder for keys belongs to another user.
    """
    folder = _own_folder(make=False)
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):
            if not processes.is_mark_alive(name.removeprefix(f"{_NAME}-")):
                with suppress(OSError):
                    os.unlink(os.path.join(folder, name))


def _own_folder(*, make: bool) -> str:
    """Return the folder for keys, which only this user can enter; raise if it belongs to another user."""
    parent = f"/tmp/launch-{os.getuid()}"
    folder = os.path.join(parent, "secrets")
    if make:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    with suppress(FileNotFoundError):
        for path in (parent, folder):
            status = os.lstat(path)
            if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
                raise StoreError(
                    f"{path} belongs to another user", hint="ask that user to remove it: no key is written there"
                )
        os.chmod(folder, 0o700)
    return folder
