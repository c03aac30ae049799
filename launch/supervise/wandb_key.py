"""The key of Weights & Biases on its way into a container: a file that only this user can read, and not for long.

Variables of a container can be read by whoever may ask the engine, and command lines by every user of the machine.
So the key travels as a file in the format of `~/.netrc`, outside the run directory, and is deleted with the attempt.
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
# `config.yaml` as this launcher writes it; a parser of all of YAML would cost a supervisor its milliseconds.
_MODE = re.compile(r"^wandb:\n(?:  .*\n)*?  mode: (\w+)$", re.MULTILINE)


def wandb_mode(config: str) -> str:
    """Return whether a run mirrors its metrics to W&B: its config's `wandb.mode`.

    Args:
        config: Its config.yaml.
    """
    with suppress(OSError), open(config) as file:
        found = _MODE.search(file.read())
        return found[1] if found else "disabled"
    return "disabled"


def write_netrc(environment: Mapping[str, str]) -> str | None:
    """Write the key of this user to a file of its own; None where there is no key.

    Args:
        environment: Where it may stand: in `$WANDB_API_KEY`, else in `~/.netrc` or the file that `$NETRC` names.

    Returns:
        The file.

    Raises:
        StoreError: Where its folder is somebody else's.
        OSError: Where it cannot be written.
    """
    host = urlsplit(environment.get("WANDB_BASE_URL", "")).hostname or _HOST
    key = environment.get(KEY_VARIABLE) or _stored_key(environment, host)
    if not key or not key.isprintable() or " " in key:
        return None
    folder = _own_folder(make=True)
    path = os.path.join(folder, f"{_NAME}-{os.getpid()}-{processes.start_time(os.getpid())}")
    with suppress(FileNotFoundError):
        os.unlink(path)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, f"machine {host}\n  login user\n  password {key}\n".encode())
    finally:
        os.close(fd)
    return path


def _stored_key(environment: Mapping[str, str], host: str) -> str | None:
    import netrc

    file = environment.get(NETRC_VARIABLE) or os.path.expanduser("~/.netrc")
    try:
        found = netrc.netrc(file).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None
    return found[2] if found else None


def remove_left_keys() -> None:
    """Delete the keys of supervisors that were killed.

    Raises:
        StoreError: Where their folder is somebody else's.
    """
    folder = _own_folder(make=False)
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):
            pid, _, start = name.removeprefix(f"{_NAME}-").partition("-")
            if not (pid.isdigit() and start.isdigit() and processes.is_alive(int(pid), int(start))):
                with suppress(OSError):
                    os.unlink(os.path.join(folder, name))


def _own_folder(*, make: bool) -> str:
    """Return the folder that only this user can enter."""
    parent = f"/tmp/launch-{os.getuid()}"
    folder = os.path.join(parent, "secrets")
    if make:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    with suppress(FileNotFoundError):
        for path in (parent, folder):
            status = os.lstat(path)
            if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
                raise StoreError(f"{path} belongs to somebody else", hint="have it removed; keys are not put there")
        os.chmod(folder, 0o700)
    return folder
