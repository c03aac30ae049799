"""Which cluster Slurm's clients of this machine speak to, and as which user.

Clusters may share a file system, and users a folder of runs. So the record of an array says on whose behalf and on
which cluster it was submitted.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from functools import cache
from typing import NamedTuple

from launch.backends.slurm.client import run_client
from launch.store.processes import host

_SETTING = re.compile(r"^(ClusterName|SlurmctldHost\[0\]|SlurmctldPort|PrivateData)\s*=\s*(\S*)", re.MULTILINE)
# Where the clients look for their configuration, in this order, without $SLURM_CONF.
_FILES = ("/etc/slurm/slurm.conf", "/etc/slurm-llnl/slurm.conf", "/run/slurm/conf/slurm.conf")


class ClusterIdentity(NamedTuple):
    """A cluster. Stored as a list of these two values."""

    name: str  # its name and its first controller: `lab@ctl1:6817`, since two clusters may have the same name
    hides_others: bool  # whether it shows a user no jobs of other users


def read_identity() -> ClusterIdentity:
    """Ask the cluster for its identity.

    Raises:
        BackendError: If it does not answer.
    """
    found = dict(_SETTING.findall(run_client(["scontrol", "show", "config"])))
    controller = f"{found.get('SlurmctldHost[0]', '').partition('(')[0]}:{found.get('SlurmctldPort', '')}"
    private = found.get("PrivateData", "").split(",")
    return ClusterIdentity(f"{found.get('ClusterName', '')}@{controller}", "jobs" in private and os.getuid() != 0)


def configuration_key() -> str:
    """Return a short text that is the same on all machines with the same Slurm configuration. Asks no cluster."""
    named = os.environ.get("SLURM_CONF")
    for file in [named] if named else _FILES:
        with suppress(OSError), open(file, "rb") as configuration:
            return hashlib.sha256(configuration.read()).hexdigest()[:8]
    server = os.environ.get("SLURM_CONF_SERVER", "")
    return hashlib.sha256(f"{host()} {named} {server}".encode()).hexdigest()[:8]


def exists(user: str) -> bool:
    """Return whether this machine knows a user."""
    import pwd

    try:
        return user.isdigit() or bool(pwd.getpwnam(user))
    except KeyError:
        return False


@cache
def own_name() -> str:
    """Return the name of this process's user; without one, the number."""
    import pwd  # most tasks of a cluster do not need it

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
